"""Metrics that are read when they are scraped: models, queue and plugins."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from demo_app.gradio_internals import queue_length
from demo_app.page.app import App


class Gauges(Collector):
    """Collects the app's current values at each scrape, for prometheus_client: register it with the app's registry."""

    def __init__(self, app: App) -> None:
        self.app = app

    def collect(self) -> Iterator[Metric]:
        app, models = self.app, self.app.models
        yield GaugeMetricFamily("demo_app_models_loaded", "Models in memory", value=models.loaded)
        yield GaugeMetricFamily("demo_app_model_bytes", "Bytes of models in memory", value=models.bytes)
        yield GaugeMetricFamily("demo_app_model_budget_bytes", "Bytes that models may take", value=models.budget)
        yield CounterMetricFamily("demo_app_model_loads", "Models loaded so far", value=models.loads)
        yield CounterMetricFamily("demo_app_model_evictions", "Models evicted for others", value=models.evictions)
        yield GaugeMetricFamily("demo_app_queue_length", "Events that wait", value=queue_length(app.blocks))
        yield GaugeMetricFamily("demo_app_running", "Handlers that run now", value=app.handlers.running)
        states = GaugeMetricFamily("demo_app_plugins", "Plugins by state", labels=["state"])
        for state in sorted({plugin.state for plugin in app.plugins}):
            states.add_metric([state], sum(plugin.state == state for plugin in app.plugins))
        yield states
