"""Every DEMO_APP_* variable, in one place. `docs/hosting.md` lists them; a test compares the two."""

from __future__ import annotations

import difflib
import ipaddress
import logging
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from demo_app import machine
from demo_app.errors import SettingsError

log = logging.getLogger(__name__)

_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_bytes(text: str) -> int:
    """Bytes from "500M", "1.5GiB", "2 gb" or "1048576" (units are powers of 1024).

    >>> parse_bytes("1.5 GiB")
    1610612736
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    if match is None:
        raise SettingsError(f"{text!r} is not a size; write for example 500M or 2G.")
    count = float(match[1]) * _UNITS[match[2]]
    if not 0 <= count < 2**63:
        raise SettingsError(f"{text!r} is more than any machine has; write for example 500M or 2G.")
    return int(count)


def parse_size(text: str) -> int:
    """Bytes, as `parse_bytes` reads them, but not 0."""
    count = parse_bytes(text)
    if count < 1:
        raise SettingsError(f"{text!r} leaves no room for anything; write for example 500M or 2G.")
    return count


def unquoted(text: str) -> str:
    """The text without white space around it, and without quotes: Docker's --env-file leaves them in."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _readable(text: str) -> str:
    """The text, unless it has bytes that are no UTF-8 or characters that cannot be seen."""
    if any(0xD800 <= ord(c) <= 0xDFFF or unicodedata.category(c) == "Cc" for c in text):
        raise SettingsError(f"{text!r} has a character that cannot be shown; write it in UTF-8, without line breaks.")
    return text


def _is_service_link(text: str) -> bool:
    """Whether Kubernetes set the variable: a service that is called demo-app gives DEMO_APP_PORT=tcp://10.0.0.1:7860."""
    found = re.fullmatch(r"(tcp|udp|sctp)://\S+:\d+", text) is not None
    if found:
        log.warning("DEMO_APP_PORT=%s is Kubernetes' link to a service, and is ignored", text)
    return found


def parse_flag(text: str) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off and the empty text."""
    if text.strip().lower() in {"1", "true", "yes", "on"}:
        return True
    if text.strip().lower() in {"0", "false", "no", "off", ""}:
        return False
    raise SettingsError(f"{text!r} is neither yes nor no; write 1 or 0.")


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or int(text) < 1:
        raise SettingsError(f"{text!r} is not a whole number from 1 to 999999999.")
    return int(text)


def parse_threads(text: str) -> int:
    """A number of threads, up to 4096: torch would try to make any number."""
    if _positive(text) > 4096:
        raise SettingsError(f"{text!r} threads are too many; write a number up to 4096.")
    return int(text)


def parse_port(text: str) -> int:
    """A port from 1 to 65535."""
    if not re.fullmatch(r"[0-9]{1,5}", text.strip()) or not 1 <= int(text) <= 65535:
        raise SettingsError(f"{text!r} is no port; write a whole number from 1 to 65535, for example 7860.")
    return int(text)


def parse_host(text: str) -> str:
    """An address to listen on, without scheme and port; that of IPv6 in brackets, as Gradio takes it.

    >>> parse_host("::1")
    '[::1]'
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return f"[{bare}]" if ipaddress.ip_address(bare).version == 6 else bare
    except ValueError:
        pass
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?", text):
        raise SettingsError(f"{text!r} is no address to listen on; write it alone, for example 127.0.0.1 or 0.0.0.0.")
    return text


def parse_device(text: str) -> str:
    """A device of torch: cpu, mps, cuda, or one GPU of several, as cuda:1."""
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", text.lower()):
        nearest = "cuda" if text.lower() in ("gpu", "nvidia", "rocm") else "cuda, mps or cpu"
        raise SettingsError(f"{text!r} is no device; write {nearest}.")
    return text.lower()


def parse_path(text: str) -> Path:
    """A path, in which `~` is the home of the user."""
    return Path(os.path.expanduser(text))  # unlike `Path.expanduser`, it raises nothing where there is no home


def parse_folder(text: str) -> Path:
    """A folder that is there and can be read."""
    path = parse_path(text)
    if not os.path.isdir(path) or not os.access(path, os.R_OK | os.X_OK):
        raise SettingsError(f"{str(path)!r} is no folder that can be read; make it, or name another.")
    return path


def parse_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_checkpoints(text: str) -> tuple[tuple[str, Path], ...]:
    """(demo, folder) of each item in "text_classifier=my_model, ..."; the demo is "" for a folder alone."""
    pairs = []
    for part in parse_names(text):
        demo, sign, folder = part.partition("=")
        if not sign:
            demo, folder = "", part
        elif not (demo.strip() and folder.strip()):
            raise SettingsError(f"{part!r} names no checkpoint; write DEMO=FOLDER.")
        pairs.append((demo.strip(), parse_path(folder.strip())))
    return tuple(pairs)


def parse_root_path(text: str) -> str:
    """The path, or the whole address, under which a proxy shows the page, without a trailing slash.

    >>> parse_root_path("/demos/")
    '/demos'
    """
    if not re.fullmatch(r"(https?://[^/\s?#]+)?(/[^\s?#]*)?", text) or not text:
        raise SettingsError(f"{text!r} is no path; write for example /demos, or https://example.org/demos.")
    return text.rstrip("/")


def parse_hosts(text: str) -> tuple[str, ...]:
    """The host names in a comma-separated list, in lower case; `*` stands for every name.

    >>> parse_hosts("example.org, Demos.example.org")
    ('example.org', 'demos.example.org')
    """
    hosts = tuple(name.lower() for name in parse_names(text))
    for host in hosts:
        if not re.fullmatch(r"\*|[a-z0-9._-]+|\[?[0-9a-f:.]+\]?", host) or re.fullmatch(r"[^:]+:[0-9]+", host):
            raise SettingsError(f"{host!r} is no host name; write for example example.org, without scheme and port.")
    return hosts


def parse_metrics(text: str) -> str:
    """The word open or closed, or the token that opens them: 16 characters or more, since anybody may try.

    >>> parse_metrics("0"), parse_metrics("on")
    ('closed', 'open')
    """
    word = text.strip()
    if word.lower() in {"open", "closed"}:
        return word.lower()
    if len(word) >= 16 and re.fullmatch(r"[!-~]+", word):
        return word
    try:
        return "open" if parse_flag(word) else "closed"
    except SettingsError:
        raise SettingsError("write open, closed, or a token of at least 16 letters and digits.") from None


def _setting(default: Any, read: Any, help: str) -> Any:
    return field(default=default, metadata={"read": read, "help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the host of the app may choose. Field `max_text` is the variable `DEMO_APP_MAX_TEXT`."""

    title: str = _setting("Model demos", str, "title of the page")
    plugins_dir: Path | None = _setting(None, parse_folder, "folder of plugins, or of one")
    only: tuple[str, ...] = _setting((), parse_names, "plugins to use, by name, comma-separated; others are disabled")
    disable: tuple[str, ...] = _setting((), parse_names, "plugins not to import, by name, comma-separated")
    checkpoints: tuple[tuple[str, Path], ...] = _setting(
        (), parse_checkpoints, "checkpoints of your own, DEMO=FOLDER or FOLDER, comma-separated"
    )
    strict: bool = _setting(False, parse_flag, "1: the first plugin that fails stops the start")
    build_seconds: int = _setting(60, _positive, "seconds to import or build one plugin; then it is given up")
    preload: tuple[str, ...] = _setting(
        ("first",), parse_names, "models to load once the page is up: first, all, none, or names of demos"
    )
    device: str | None = _setting(None, parse_device, "cuda, mps or cpu, instead of the best one found")
    memory_budget: int | None = _setting(None, parse_size, "bytes for loaded models; 60 % of this process's memory")
    threads: int | None = _setting(None, parse_threads, "threads of torch; the CPUs that this process may use")
    concurrency: int = _setting(4, _positive, "queued events of one action that run at the same time")
    queue_size: int = _setting(64, _positive, "events that may wait; the next visitor is told to come back")
    sessions: int = _setting(300, _positive, "visitors whose state is kept; the oldest is dropped")
    goodbye_seconds: int = _setting(
        60, _positive, "seconds that a page may be cut off, before its visitor's examples and checkpoints are deleted"
    )
    max_text: int = _setting(20_000, _positive, "characters in one text input")
    max_rows: int = _setting(10_000, _positive, "rows in one uploaded table")
    tune_rows: int = _setting(5_000, _positive, "rows or pictures in one fine-tuning on the page")
    tune_steps: int = _setting(10_000, _positive, "steps in one fine-tuning on the page, all strategies together")
    tune_minutes: int = _setting(15, _positive, "minutes of one fine-tuning on the page, all strategies together")
    max_upload: int = _setting(20 * 2**20, parse_size, "bytes in one uploaded file")
    max_request: int = _setting(4 * 2**20, parse_size, "bytes in one request without files")
    max_uploads: int = _setting(2 * 2**30, parse_size, "bytes of all uploaded files; a quarter for one upload")
    host: str | None = _setting(None, parse_host, "address to listen on; 127.0.0.1, or what GRADIO_SERVER_NAME says")
    port: int | None = _setting(None, parse_port, "port to listen on; the first free one from 7860 up")
    root_path: str | None = _setting(None, parse_root_path, "path at which a proxy shows the page, as in /demos")
    allowed_hosts: tuple[str, ...] = _setting((), parse_hosts, "names of this host in addresses; * for every name")
    metrics: str = _setting("open", parse_metrics, "/metrics: open, closed, or a token that opens them")
    mcp: bool = _setting(False, parse_flag, "1: every action of every demo is a tool for MCP clients too")
    public: bool = _setting(False, parse_flag, "1: visitors are strangers, so no Unload button; always on a Space")

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        defaults: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> Settings:
        """Settings from `DEMO_APP_*` variables: `defaults` < variables < `overrides`; a value of `None` is ignored.

        `defaults` come from a program such as `app.py`, `overrides` from a command line or a test. Raises
        `SettingsError` that names the variable, also for a misspelt one.
        """
        known = {f"DEMO_APP_{f.name.upper()}": f for f in fields(cls)}
        for variable in environ:  # a plugin may have variables of its own, DEMO_APP_<DEMO>_<KEY>
            nearest = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
            if variable.startswith("DEMO_APP_") and variable not in known and nearest:
                raise SettingsError(f"{variable} is no setting; did you mean {nearest[0]}?")
        values = {name: value for name, value in (defaults or {}).items() if value is not None}
        for variable, f in known.items():
            text = unquoted(environ.get(variable, ""))
            if text and not (variable == "DEMO_APP_PORT" and _is_service_link(text)):
                try:
                    values[f.name] = f.metadata["read"](_readable(text))
                except SettingsError as error:
                    raise SettingsError(f"{variable}: {error}") from None
        if environ.get("SPACE_ID"):
            values["public"] = True
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)

    @property
    def budget(self) -> int:
        """Bytes that all loaded models together may take."""
        return self.memory_budget if self.memory_budget is not None else int(0.6 * machine.memory())
