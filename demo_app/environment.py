"""What a process finds around it, apart from `DEMO_APP_*`: served where that is possible, else refused in a sentence.

Called before gradio and huggingface_hub are imported. Several variables would make their imports die with a traceback,
and others, such as a proxy, the start of the page.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from demo_app.errors import SettingsError

log = logging.getLogger(__name__)

WHOLE_NUMBERS = {  # read with int() by the libraries, most of them when they are imported: what it takes, the most
    "GRADIO_SERVER_PORT": 65535,
    "GRADIO_NUM_PORTS": 65535,
    "GRADIO_NODE_PORT": 65535,
    "GRADIO_NODE_NUM_PORTS": 65535,
    "GRADIO_NUM_WORKERS": 2**31,
    "GRADIO_DEBUG": 1,
    "GRADIO_ANALYTICS_MAX_EVENTS": 2**31,
    "HF_HUB_ETAG_TIMEOUT": 2**31,
    "HF_HUB_DOWNLOAD_TIMEOUT": 2**31,
    "WEB_CONCURRENCY": 2**31,
}
SERVICE_LINK = re.compile(
    r"(tcp|udp|sctp)://\S+:\d+"
)  # what Kubernetes sets for a service: demo-app gives DEMO_APP_PORT
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
OPEN_FILES = 4096  # that one process may have at once, where the system lets us ask for it
FEWEST_FILES = 96  # with which a page of five demos can be served


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make the best of the environment. Raises `SettingsError` that names what cannot be served."""
    open_streams()
    try:
        os.getcwd()
    except OSError:
        raise SettingsError("the working folder is gone or cannot be read; change to another one (cd).") from None
    if not os.path.isabs(os.path.expanduser("~")):  # no HOME and no entry for the user: as Docker does
        environ["HOME"] = "/"
    for name in WHOLE_NUMBERS:
        _check_number(environ, name)
    _prepare_temporary(environ)
    keep_direct(("localhost", "127.0.0.1", "::1"), environ)
    _allow_files()


def open_streams() -> None:
    """Let standard input, output and error be closed, or of an encoding that lacks a character.

    A closed one would be None to Python, and its number would go to the next file or connection that is opened.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def direct(environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Inside, HTTP clients are made that use neither the environment's proxies nor its certificates.

    For Gradio's own, which only speak to this host: a SOCKS proxy without the package socksio, or a certificate file
    that is not there, would end its import or its start. All others, as the Hub's, are made outside. With GRADIO_DEBUG
    its launch would never return.
    """
    names = {name for name in environ if name.lower() in PROXIES or name in (*CERTIFICATES, "GRADIO_DEBUG")}
    taken = {name: environ.pop(name) for name in names}
    try:
        yield
    finally:
        environ.update(taken)


def keep_direct(hosts: tuple[str, ...], environ: MutableMapping[str, str] = os.environ) -> None:
    """Add hosts to NO_PROXY, under both its names, if there is a proxy at all."""
    if not any(environ.get(name) for name in environ if name.lower() in PROXIES):
        return
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    known = [host.strip() for host in listed.split(",") if host.strip()]
    environ["no_proxy"] = environ["NO_PROXY"] = ",".join(dict.fromkeys([*known, *hosts]))


def bad_proxy(variable: str, value: str) -> str:
    """What is wrong with a proxy that no HTTP client here can use, and what to do; empty if nothing is."""
    scheme, sign, rest = value.strip().partition("://")
    if not sign or (scheme.lower() in ("http", "https") and rest.strip("/")):
        return ""
    if scheme.lower() in ("socks5", "socks5h") and rest.strip("/"):
        if importlib.util.find_spec("socksio"):
            return ""
        return f"{variable} names a SOCKS proxy, which needs a package more: pip install socksio"
    return f"{variable} names no proxy that can be used; write http://HOST:PORT or socks5://HOST:PORT"


def _check_number(environ: MutableMapping[str, str], name: str) -> None:
    """Refuse what `int()` would not read; leave out what is empty, or Kubernetes' link to a service of that name."""
    value, most = environ.get(name), WHOLE_NUMBERS[name]
    if value is None:
        return
    if not value.strip() or SERVICE_LINK.fullmatch(value.strip()):
        if value.strip():
            log.warning("%s=%s is Kubernetes' link to a service, and is ignored", name, value)
        del environ[name]
    elif not re.fullmatch(r"[0-9]{1,10}", value.strip()) or int(value) > most:
        raise SettingsError(f"{name}: {value!r} is not a whole number up to {most}; change it, or unset it.")


def _prepare_temporary(environ: MutableMapping[str, str]) -> None:
    """Give Gradio a folder for uploads that this user can write: /tmp/gradio may be another's."""
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise SettingsError("there is no folder for temporary files; set TMPDIR to one that can be written.") from None
    named = environ.get("GRADIO_TEMP_DIR", "").strip()
    if named:
        folder = Path(os.path.abspath(os.path.expanduser(named)))
        if not _is_writable(folder):
            raise SettingsError(f"GRADIO_TEMP_DIR: {folder} cannot be written; name a folder that can, or unset it.")
        environ["GRADIO_TEMP_DIR"] = str(folder)
    elif not _is_writable(temporary / "gradio"):
        own = temporary / f"gradio-{os.getuid() if hasattr(os, 'getuid') else 0}"
        environ["GRADIO_TEMP_DIR"] = str(own) if _is_writable(own, ours=True) else tempfile.mkdtemp(prefix="gradio-")


def _is_writable(folder: Path, ours: bool = False) -> bool:
    """Whether files can be made in the folder, which is made if it is missing; `ours`: and by nobody else."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700 if ours else 0o777)
        facts = folder.stat()
        if ours and (facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o022 or folder.is_symlink()):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, ValueError):
        return False


def _allow_files() -> None:
    """Raise the number of files that may be open to what the system allows. Raises `SettingsError` if that is too few.

    Every visitor's connection is one; many systems start a process with 1024 or fewer, and allow more.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft != resource.RLIM_INFINITY and soft < FEWEST_FILES:
        raise SettingsError(
            f"this process may open {soft} files at once, which is too few; say: ulimit -n {OPEN_FILES}"
        )
