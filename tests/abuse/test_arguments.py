"""Wrong types in any argument of any endpoint: an answer, or one sentence that names the argument; never an accident.

DEMO_APP_TEST_ALL=1 python -m pytest tests/abuse/test_arguments.py     # each wrong value in each argument: minutes
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import httpx
import pytest
from plugins_on_disk import ROOT

from demo_app.gradio_internals import Listener, listeners, upload_folder
from demo_app.serving import client
from demo_app.testing import serve

EVERY = bool(os.environ.get("DEMO_APP_TEST_ALL"))
AT_A_TIME = 4  # wrong values for each argument, in turn
SLOW = {"separable_conv_measure", "text_classifier_occlude"}  # they compute for seconds, whatever they are sent
FILE = {"_type": "gradio.FileData"}
WRONG: dict[str, Any] = {
    "nothing": None,
    "list of strings": ["a", "b"],
    "number": 7,
    "dict": {"a": 1},
    "bool": True,
    "string": "such a choice there is not",
    "huge": 10**400,
    "not a number": float("nan"),
    "nested": [[[{"a": [None]}]]],
    "empty list": [],
    "negative": -1,
    "half a character": "\ud800",
    "null character": "\0",
    "forbidden file": {"path": "/etc/passwd", "meta": FILE},
    "forbidden path": ["/etc/passwd"],
    "address": {"url": "http://127.0.0.1:9/x.png", "path": None, "meta": FILE},
    "data": {"url": "data:image/png;base64,AAAA", "path": None},
    "files": [{"path": "/etc/passwd"}],
}


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with serve(plugins_dir=ROOT / "plugins", strict=True, queue_size=1000) as server:
        yield server


def begun_with(part: Any) -> Any:
    """What the page has in a component before a visitor changes it, as JSON."""
    value = None if part.stateful or callable(part.value) else part.value
    return json.loads(json.dumps(value, default=lambda _: None))


def send(page: Any, listener: Listener, data: list[Any]) -> httpx.Response:
    body = json.dumps({"data": data, "fn_index": listener.id, "session_hash": "wrong"})  # httpx refuses NaN
    headers = {"content-type": "application/json"}
    return httpx.post(f"{page.url}gradio_api/run/predict", content=body, headers=headers, timeout=client.SECONDS)


def test_a_wrong_type_in_any_argument_is_answered_or_refused_in_a_sentence(page: Any, caplog: Any, capfd: Any) -> None:
    turns = itertools.cycle([*WRONG.items(), ("missing file", {"path": str(upload_folder() / "no.png"), "meta": FILE})])
    accidents, calls = [], 0
    with httpx.Client(timeout=client.SECONDS) as http, caplog.at_level(logging.WARNING):
        for listener in listeners(page.app.blocks):
            if listener.handler is None or not (EVERY or listener.public) or listener.name in SLOW:
                continue
            data = [begun_with(part) for part in listener.inputs]
            for number, part in enumerate(listener.inputs):
                if part.stateful:
                    continue
                for what, wrong in itertools.islice(turns, len(WRONG) + 1 if EVERY else AT_A_TIME):
                    if isinstance(part, gr.Textbox) and isinstance(wrong, str) and "\ud800" not in wrong:
                        continue  # that is what it takes
                    body = {"data": [*data[:number], wrong, *data[number + 1 :]], "fn_index": listener.id}
                    said = http.post(
                        f"{page.url}gradio_api/run/predict",
                        content=json.dumps({**body, "session_hash": "wrong"}),  # httpx refuses NaN
                        headers={"content-type": "application/json"},
                    ).json()
                    calls += 1
                    if ("data" not in said and not said.get("error")) or "Something went wrong" in str(said):
                        accidents.append((listener.name, listener.parameter(number), what, said))
    assert calls > 500
    assert accidents == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("action", ["text_classifier_classify", "image_text_fusion_ask", "image_text_fusion_senses"])
def test_a_list_where_a_text_belongs_is_refused_before_it_costs_anything(page: Any, action: str) -> None:
    listener = next(one for one in listeners(page.app.blocks) if one.name == action)
    data = [begun_with(part) for part in listener.inputs]
    place = next(i for i, part in enumerate(listener.inputs) if isinstance(part, gr.Textbox))
    seconds = []
    for _ in range(3):
        data[place] = ["a" * 50] * 60_000  # 3 MB: of more the gate reads nothing
        started = time.perf_counter()
        said = send(page, listener, data)
        seconds.append(time.perf_counter() - started)
    assert listener.parameter(place) in said.json()["error"].lower()
    assert "takes a text" in said.json()["error"]
    assert min(seconds) < 2  # 0.1 s on a machine that does nothing else


def test_too_few_values_are_one_sentence_that_repeats_none(page: Any, caplog: Any, capfd: Any) -> None:
    with caplog.at_level(logging.INFO):
        said = client.run(page.url, "text_classifier_finetune_publish", "me/model", "hf_aSecretOfTheVisitor")
    assert "was sent 2; send one for each of:" in said.json()["error"]
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("demo_app")]
    assert len(logged) == 1
    assert "aSecret" not in "".join([*logged, *capfd.readouterr()])


def test_a_click_that_says_not_where_is_refused(page: Any) -> None:
    clicked = next(one for one in listeners(page.app.blocks) if one.name.endswith("patch_clicked"))
    said = send(page, clicked, [begun_with(part) for part in clicked.inputs])
    assert "click on one" in said.json()["error"]


def test_an_endpoint_that_does_not_exist_is_one_line_in_the_log(page: Any, caplog: Any, capfd: Any) -> None:
    for address, body in {
        "run/nothing_of_this_name": {"data": []},
        "run/predict": {"data": [], "fn_index": 99_999},
        "queue/join": {"data": [], "fn_index": 99_999, "session_hash": "wrong"},
        "call/nothing_of_this_name": {"data": []},
        "call/v2/nothing_of_this_name": {},
        "cancel": {"session_hash": "x", "fn_index": -1, "event_id": "none"},
    }.items():
        answer = httpx.post(f"{page.url}gradio_api/{address}", json=body, timeout=client.SECONDS)
        assert answer.status_code < 500, address
    assert "Traceback" not in "".join(capfd.readouterr())
    assert [record for record in caplog.records if record.exc_info] == []
