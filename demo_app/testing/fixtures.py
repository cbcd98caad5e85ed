"""A pytest plugin: fixtures for the tests of plugins, available wherever demo-app is installed.

Starting pytest imports neither gradio nor torch nor playwright: each fixture imports what it needs when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo_app.machine import prepare_environment

if TYPE_CHECKING:
    from gradio_client import Client
    from playwright.sync_api import Browser

    from demo_app.testing.browser import Visits
    from demo_app.testing.host import DemoHost
    from demo_app.testing.hub import Hub


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs a Chromium (python -m demo_app.testing.chromium)")


@pytest.fixture(scope="module")
def plugin_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of the plugin under test: the nearest one above the test whose pyproject.toml has a `demo_app` entry
    point. If the plugin is elsewhere, override this fixture in the module or a conftest.py, with `scope="module"`."""
    from demo_app.registry.discovery import is_plugin

    found = next((folder for folder in request.path.parents if is_plugin(folder)), None)
    if found is None:
        pytest.fail(
            f"No folder above {request.path} has a pyproject.toml with [project.entry-points.demo_app]; "
            "write a fixture plugin_dir that returns the plugin's folder.",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="module")
def demo_settings() -> dict[str, Any]:
    """Fields of `demo_app.settings.Settings` for `demo_host`; override it with `scope="module"`."""
    return {}


@pytest.fixture(scope="module")
def demo_host(plugin_dir: Path, demo_settings: Mapping[str, Any]) -> Iterator[DemoHost]:
    """A running host with the plugin in `plugin_dir` alone, on a free port; the tests of one module share it.

    `demo_host.call("shout", "hello")` calls an action, `demo_host.refusal("shout", "")` one that must fail;
    `demo_host.actions`, `demo_host.url`, `demo_host.client` (of `gradio_client`), `demo_host.demo`, `demo_host.server`.
    """
    from demo_app.testing.host import serve_plugin

    with serve_plugin(plugin_dir, **demo_settings) as host:
        yield host


@pytest.fixture
def demo_client(demo_host: DemoHost) -> Client:
    """A `gradio_client.Client` of `demo_host` with a session of its own: a new visitor in each test."""
    return demo_host.connect()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch with one thread: small models are slower with two, above all beside other work.

    For a whole module: `pytestmark = pytest.mark.usefixtures("one_thread")`.
    """
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a small checkpoint in the layout of a Hub repository, and returns its folder.

    `tiny_checkpoint({"scale": 2}, {"weight": np.ones(3)})` writes that config.json and those tensors, of numpy
    or torch; of a torch module its `state_dict()`; without tensors there is one, `weight`, of 4 zeros.
    `files={"vocab.txt": b"..."}` adds files, `name="small"` names the folder; the default is "checkpoint".
    """
    from demo_app.testing.checkpoints import write_checkpoint

    def write(
        config: Mapping[str, Any] | None = None,
        tensors: Any = None,
        *,
        name: str = "checkpoint",
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        return write_checkpoint(tmp_path / "checkpoints" / name, config, tensors, files)

    return write


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache for files of the Hub. No token is set."""
    prepare_environment()  # before huggingface_hub is imported, which reads once whether to use Xet
    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))  # it read HF_HOME on import
    return folder


@pytest.fixture
def test_hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub on loopback, from which this process and its children fetch.

    `test_hub.add("someone/model", {"config.json": b"{}"})` publishes. Nobody can upload to it; see `writable_hub`.
    """
    from huggingface_hub import constants

    from demo_app.testing.hub import Hub

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


@pytest.fixture
def writable_hub(test_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """`test_hub` with uploads: `HF_TOKEN` is its token, `demo_app.testing.hub.TOKEN`, of the user `me`."""
    from demo_app.testing.hub import TOKEN

    test_hub.token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return test_hub


@pytest.fixture(scope="module")  # Playwright allows one at a time; the next module may start its own
def demo_browser() -> Iterator[Browser]:
    """A headless Chromium. Needs the package `playwright`."""
    sync_api = pytest.importorskip("playwright.sync_api")
    from demo_app.testing import browser, chromium

    sync_api.expect.set_options(timeout=browser.SLOW)
    with sync_api.sync_playwright() as playwright:
        running = chromium.launch(playwright)
        yield running
        running.close()


@pytest.fixture
def visit(demo_browser: Browser) -> Iterator[Visits]:
    """`visit(url, query="demo=echo", width=390, theme="dark")` opens a page in a fresh profile and waits for its tabs.

    It returns a `demo_app.testing.browser.Visit`: Playwright's `page`, its errors, and the requests to other hosts.
    """
    from demo_app.testing import browser

    with ExitStack() as stack:

        def go(url: str, *, query: str = "", width: int = 1280, height: int = 900, theme: str = "light") -> Any:
            context = stack.enter_context(demo_browser.new_context(viewport={"width": width, "height": height}))
            return browser.visit(context, f"{url}?__theme={theme}{'&' if query else ''}{query}")

        yield go
