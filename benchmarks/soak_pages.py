"""Pages of the soak: what a browser sends for a session, and how an action ended."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from common import API

SILENT = 120.0  # seconds without any word, after which an action counts as unanswered
TIMEOUT = httpx.Timeout(SILENT, connect=30.0)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file, or several, that the visitor brings for an input."""

    files: tuple[Path, ...]
    many: bool = False  # a list, even of one


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an action ended: with an answer, with a sentence, or without a word."""

    action: str
    started: float  # time.monotonic()
    ended: float
    data: list[Any] | None = None
    error: str | None = None
    silence: str | None = None  # what came instead of an answer

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True)
class Site:
    """What all pages of a host share: its events and what its components hold at the start."""

    url: str
    config: dict[str, Any]
    names: dict[str, list[str]]  # of each action's inputs, without states

    @classmethod
    def of(cls, url: str) -> Site:
        config = httpx.get(f"{url}/config", timeout=TIMEOUT).json()
        endpoints = httpx.get(f"{url}{API}/info", timeout=TIMEOUT).json()["named_endpoints"]
        names = {path[1:]: [p["parameter_name"] for p in end["parameters"]] for path, end in endpoints.items()}
        return cls(url, config, names)


@dataclass
class Page:
    """An open page: a session whose components keep what events put into them.

    While it is open, its heartbeat is: at the end of that Gradio knows that the visitor has left.
    """

    site: Site
    session: str = field(default_factory=lambda: uuid.uuid4().hex[:11])

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.site.url, timeout=TIMEOUT)
        self.values = {c["id"]: c["props"].get("value") for c in self.site.config["components"]}
        self.types = {c["id"]: c["type"] for c in self.site.config["components"]}
        self.events = {event["api_name"]: event for event in self.site.config["dependencies"]}
        self._heartbeat = contextlib.ExitStack()

    def open(self) -> None:
        """Load the page, as a browser does."""
        self.http.get("/").raise_for_status()
        stream = self.http.stream("GET", f"{API}/heartbeat/{self.session}", timeout=None)
        self._heartbeat.enter_context(stream)

    def close(self) -> None:
        self._heartbeat.close()
        self.http.close()

    def __enter__(self) -> Page:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def act(self, action: str, given: Mapping[str, Any], *, leave: bool = False) -> Outcome:
        """Do what a click does: upload the files, join the queue, read the stream to the end.

        Args:
            action: its API name, with the demo's prefix.
            given: what the visitor enters, by parameter; other inputs have what their components hold.
            leave: close the page at the first word about the action.
        """
        started = time.monotonic()
        try:
            found = self._act(action, given, leave)
        except (httpx.HTTPError, OSError, ValueError) as error:
            found = {"silence": f"{type(error).__name__}: {error}"}
        return Outcome(action=action, started=started, ended=time.monotonic(), **found)

    def _act(self, action: str, given: Mapping[str, Any], leave: bool) -> dict[str, Any]:
        event, names = self.events[action], iter(self.site.names[action])
        data = []
        for component in event["inputs"]:
            value = None
            if self.types[component] != "state":
                name = next(names)
                value = given[name] if name in given else self.values[component]
            if isinstance(value, Upload):
                value = self._upload(value)
                if isinstance(value, str):
                    return {"error": value}
            data.append(value)
        body = {"data": data, "session_hash": self.session, "fn_index": event["id"], "trigger_id": None}
        joined = self.http.post(f"{API}/queue/join", json=body)
        if joined.status_code != 200:
            return _refused(joined)
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if leave and message["msg"]:
                    return {"data": []}
                if message["msg"] == "process_completed":
                    return self._completed(event, message)
                if message["msg"] == "unexpected_error":
                    return {"silence": f"unexpected error: {message['message']}"}
        return {"silence": "the stream ended without an answer"}

    def _completed(self, event: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        output = message["output"]
        if not message["success"]:
            text = output.get("error")
            return {"error": text} if text else {"silence": "an error without a sentence"}
        answer = list(output.get("data", []))
        for component, value in zip(event["outputs"], answer, strict=False):
            update = isinstance(value, dict) and value.get("__type__") == "update"
            if not update:
                self.values[component] = value
            elif "value" in value:
                self.values[component] = value["value"]
        return {"data": answer}

    def _upload(self, upload: Upload) -> Any:
        """The value of a file component that the files were dropped on, or the sentence of a refusal."""
        found = []
        for file in upload.files:
            answer = self.http.post(f"{API}/upload", files={"files": (file.name, file.read_bytes())})
            if answer.status_code != 200:
                return _refused(answer).get("error", f"HTTP {answer.status_code}: {answer.text[:200]}")
            meta = {"_type": "gradio.FileData"}
            found.append({"path": answer.json()[0], "orig_name": file.name, "meta": meta})
        return found if upload.many else found[0]

    def download(self, path: str) -> bytes:
        """The content of a file that an answer names."""
        answer = self.http.get(f"{API}/file={path}")
        answer.raise_for_status()
        return answer.content


def _refused(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
        text = said.get("error") or said.get("detail")
    except ValueError:
        text = None
    return {"error": str(text)} if text else {"silence": f"HTTP {answer.status_code}: {answer.text[:200]}"}


class Noop:
    """The no-op of a bare Gradio app, timed twice a second by a visitor of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.times: list[tuple[float, float]] = []  # when it ended, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Noop:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        site = Site.of(self.url)
        page = Page(site)
        while not self._stop.wait(0.5):
            outcome = page.act("queued", {next(iter(site.names["queued"])): "a"})
            if outcome.data is not None:
                self.times.append((outcome.ended, outcome.seconds))
