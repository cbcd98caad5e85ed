"""A Hugging Face Hub on loopback: real HTTP, real redirects, uploads, and every fault that a download can meet.

It speaks the protocol of huggingface_hub 2.4 without Xet. Down: `HEAD` and `GET` of `/{repo}/resolve/{sha}/{file}`,
ranges, weights that lie at another origin as they do at the real Hub, the facts and the files of a repository. Up:
create, ask how each file is to come, large ones as LFS, then the commit. Models, data sets and Spaces; tokens; and the
error headers that decide which exception the client raises. A fault is a function; `hub.fault = cut_body(hub, at=1000)`
puts it between client and Hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import yaml

LARGE = (".safetensors", ".bin", ".spm", ".onnx")  # stored apart from the repository, named by their sha256
LARGE_FROM = 10_000_000  # bytes: a larger file is stored apart too, whatever its name
BLOCK = 64 * 2**10  # bytes written at once

REPO = r"(?P<repo>(?:(?:spaces|datasets)/)?[^/]+/[^/]+)"
RESOLVE = re.compile(rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
STORED = re.compile(r"/stored/(?P<digest>[0-9a-f]{64})")
LFS = re.compile(rf"/{REPO}\.git/info/lfs/objects/batch")
API = re.compile(
    r"/api/(?P<kind>models|spaces|datasets)/(?P<name>[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|preupload|commit)/(?P<revision>[^/]+))?"
)
FRONT_MATTER = re.compile(r"---\s*\n(?P<yaml>.*?)\n---\s*(?:\n|$)", re.DOTALL)
RANGE = re.compile(r"bytes=(\d+)-(\d*)")

Fault = Callable[[BaseHTTPRequestHandler, str, str], bool]
"""`(handler, method, path)`: True where it has answered, so that the Hub does not."""


class Request(NamedTuple):
    """One request as it came in; the names of its headers are Written-So."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repository at the last commit of its only branch, `main`."""

    files: Mapping[str, bytes]
    sha: str
    gated: bool = False
    private: bool = False
    sdk: str | None = None  # of a Space
    earlier: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # files by commit

    def at(self, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """The commit and its files; `None` where there is no such commit."""
        if revision in ("main", self.sha):
            return self.sha, self.files
        return (revision, self.earlier[revision]) if revision in self.earlier else None


class Hub:
    """A Hub at `url`.

    `token` is the one that opens its gated and private repositories and that may write, for the user `me`; without one
    they stay shut, and nobody writes. `repos` has each repository by its path: "me/model", "spaces/me/page".
    """

    def __init__(self, token: str | None = None, user: str = "me") -> None:
        self.token = token
        self.user = user
        self.repos: dict[str, Repo] = {}
        self._uploaded: dict[str, bytes] = {}  # large files by their sha256, before the commit that has them
        self.log: list[Request] = []
        self.fault: Fault | None = None
        self.throttle: float | None = None  # bytes a second of each body
        self.xet = True  # offer large files through Xet too, as the real Hub does: a client that we watch declines
        self._closed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server = _serve(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.store_url = f"http://localhost:{self.port}"  # the same server, but another origin to a client
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and hang up on those still connected: a client keeps connections, and a Hub that is down is silent."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        sha: str | None = None,
        gated: bool = False,
        private: bool = False,
    ) -> Repo:
        """Publish `files` as commit `sha`, 40 hex digits; one made from the content without it.

        The id of a Space is "spaces/me/page", that of a data set "datasets/me/rows".
        """
        sha = sha or _commit_id(files)
        self.repos[repo_id] = Repo(files=dict(files), sha=sha, gated=gated, private=private)
        return self.repos[repo_id]

    def paths(self, method: str) -> list[str]:
        """The paths asked for with `method`, in order."""
        return [request.path for request in list(self.log) if request.method == method]

    def bodies(self) -> list[str]:
        """The paths of the files that were asked for, in order; redirects to them left out."""
        return [path for path in self.paths("GET") if self.content(path) is not None]

    def content(self, path: str) -> bytes | None:
        """The bytes that `GET path` gives; `None` where it gives an error or a redirect."""
        if stored := STORED.fullmatch(path):
            return self._stored(stored["digest"])
        asked = RESOLVE.fullmatch(path)
        repo = self.repos.get(asked["repo"]) if asked else None
        commit = repo.at(unquote(asked["revision"])) if asked and repo else None
        data = commit[1].get(unquote(asked["file"])) if asked and commit else None
        return None if asked is None or data is None or _is_large(asked["file"], data) else data

    # Answers

    def send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer, at the pace of `throttle`. `X_Error_Code="…"` becomes the header X-Error-Code."""
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        for start in range(0, len(body), BLOCK):
            block = body[start : start + BLOCK]
            if self.throttle and self._closed.wait(len(block) / self.throttle):
                return
            handler.wfile.write(block)

    def send_json(self, handler: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
        self.send(handler, status, json.dumps(value).encode(), Content_Type="application/json")

    def error(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        code: str | None = None,
        message: str = "Something went wrong.",
        **headers: str,
    ) -> None:
        """Refuse as the Hub does: `code` is RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo or nothing."""
        named = {"X_Error_Code": code} if code else {}
        self.send(handler, status, message.encode(), **named, X_Error_Message=message, X_Request_Id="test", **headers)

    def send_file(self, handler: BaseHTTPRequestHandler, data: bytes, **headers: str) -> None:
        """The file, or the range of it that the request names."""
        headers = {"Accept_Ranges": "bytes", "Content_Type": "application/octet-stream"} | headers
        wanted = RANGE.fullmatch(handler.headers.get("Range", ""))
        if wanted is None:
            return self.send(handler, 200, data, **headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if first > last:
            return self.send(handler, 416, Content_Range=f"bytes */{len(data)}")
        self.send(handler, 206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)

    # Routes

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Log a request and answer it, unless the fault does."""
        method, path = handler.command, handler.path
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.log.append(Request(method, path, {name.title(): value for name, value in handler.headers.items()}, body))
        if self.fault is not None and self.fault(handler, method, path):
            return
        route = path.partition("?")[0]
        if asked := RESOLVE.fullmatch(route):
            self._resolve(handler, asked["repo"], unquote(asked["revision"]), unquote(asked["file"]))
        elif method == "PUT" and (stored := STORED.fullmatch(route)):
            self._keep(handler, stored["digest"], body)
        elif (stored := STORED.fullmatch(route)) and (data := self._stored(stored["digest"])) is not None:
            self.send_file(handler, data, ETag=f'"{stored["digest"]}"')
        elif route == "/api/whoami-v2":
            self._whoami(handler)
        elif route == "/api/validate-yaml":
            self._validate_card(handler, json.loads(body))
        elif route == "/api/repos/create":
            self._create(handler, json.loads(body))
        elif asked := LFS.fullmatch(route):
            self._lfs_batch(handler, asked["repo"], json.loads(body))
        elif asked := API.fullmatch(route):
            prefix = "" if asked["kind"] == "models" else f"{asked['kind']}/"
            self._api(
                handler, prefix + asked["name"], asked["what"] or "revision", unquote(asked["revision"] or "main"), body
            )
        else:
            self.error(handler, 404, message=f"No route {path}.")

    def _resolve(self, handler: BaseHTTPRequestHandler, repo_id: str, revision: str, file: str) -> None:
        repo = self._open_repo(handler, repo_id)
        if repo is None:
            return
        commit = repo.at(revision)
        if commit is None:
            return self.error(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        sha, files = commit
        if file not in files:
            return self.error(handler, 404, "EntryNotFound", "Entry not found", X_Repo_Commit=sha)
        data = files[file]
        if not _is_large(file, data):
            return self.send_file(handler, data, ETag=f'"{_blob_id(data)}"', X_Repo_Commit=sha)
        digest = hashlib.sha256(data).hexdigest()
        xet = {"X_Xet_Hash": digest, "X_Xet_Refresh_Route": f"{self.url}/api/xet-read-token"} if self.xet else {}
        self.send(
            handler,
            302,
            b"",
            **xet,
            Location=f"{self.store_url}/stored/{digest}",
            X_Linked_Etag=f'"{digest}"',
            X_Linked_Size=str(len(data)),
            X_Repo_Commit=sha,
        )

    def _open_repo(self, handler: BaseHTTPRequestHandler, repo_id: str) -> Repo | None:
        """The repository, or `None` after refusing: what is private is said not to exist."""
        repo = self.repos.get(repo_id)
        shown = handler.headers.get("Authorization")
        opens = self._knows(handler)
        if repo is None or (repo.private and not opens):
            self.error(handler, 404 if shown else 401, "RepoNotFound", "Repository not found")
        elif repo.gated and not opens:
            self.error(handler, 403 if shown else 401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        else:
            return repo
        return None

    def _knows(self, handler: BaseHTTPRequestHandler) -> bool:
        """Whether the request shows the Hub's token."""
        return self.token is not None and handler.headers.get("Authorization") == f"Bearer {self.token}"

    def _stored(self, digest: str) -> bytes | None:
        if digest in self._uploaded:
            return self._uploaded[digest]
        commits = [files for repo in self.repos.values() for files in (repo.files, *repo.earlier.values())]
        large = (data for files in commits for name, data in files.items() if _is_large(name, data))
        return next((data for data in large if hashlib.sha256(data).hexdigest() == digest), None)

    def _whoami(self, handler: BaseHTTPRequestHandler) -> None:
        if self._knows(handler):
            self.send_json(handler, {"type": "user", "name": self.user, "orgs": []})
        else:
            self.error(handler, 401, message="Invalid credentials in Authorization header")

    # Facts of a repository, and the way up

    def _api(self, handler: BaseHTTPRequestHandler, repo_id: str, what: str, revision: str, body: bytes) -> None:
        repo = self._open_repo(handler, repo_id)
        commit = repo.at(revision) if repo else None
        if repo is None:
            return
        if commit is None:
            return self.error(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        sha, files = commit
        if what == "revision":
            self.send_json(handler, _facts(repo_id, repo, sha, files))
        elif what == "tree":
            self.send_json(handler, [_entry(name, data) for name, data in files.items()])
        elif not self._knows(handler):
            self.error(handler, 403, message="You have no write access to this repository")
        elif what == "preupload":
            asked = [(file["path"], file["size"]) for file in json.loads(body)["files"]]
            self.send_json(handler, {"files": [_way_up(path, size, files.get(path)) for path, size in asked]})
        else:
            self._commit(handler, repo_id, repo, body)

    def _create(self, handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        if not self._knows(handler):
            return self.error(handler, 401, message="Invalid username or password.")
        prefix = {"space": "spaces/", "dataset": "datasets/"}.get(asked.get("type") or "model", "")
        owner = asked.get("organization") or self.user
        repo_id, known = f"{prefix}{owner}/{asked['name']}", f"{self.url}/{prefix}{owner}/{asked['name']}"
        if owner != self.user:
            return self.error(handler, 403, message=f"You don't have the rights to create a repo under {owner}")
        if prefix == "spaces/" and not asked.get("sdk"):
            return self.error(handler, 400, message="A Space needs an sdk")
        if repo_id in self.repos:
            return self.send_json(handler, {"error": "You already created this repo", "url": known}, 409)
        files = {".gitattributes": b""}
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.repos[repo_id] = Repo(files=files, sha=_commit_id(files, repo_id), private=private, sdk=asked.get("sdk"))
        self.send_json(handler, {"url": known, "name": f"{owner}/{asked['name']}"})

    def _validate_card(self, handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        """Refuse a README whose header is no YAML mapping, and a Space's without an sdk."""
        try:
            header = _header(asked["content"])
        except yaml.YAMLError as error:
            return self.send_json(handler, {"errors": [{"message": str(error)}], "warnings": []}, 400)
        wrong = []
        if not isinstance(header, dict):
            wrong.append("the metadata is no mapping")
        elif asked.get("repoType") == "space" and header.get("sdk") not in ("gradio", "docker", "static"):
            wrong.append('"sdk" must be one of [gradio, docker, static]')
        warnings = [] if header else [{"message": "empty or missing yaml metadata in repo card"}]
        errors = [{"message": message} for message in wrong]
        self.send_json(handler, {"errors": errors, "warnings": warnings}, 400 if wrong else 200)

    def _lfs_batch(self, handler: BaseHTTPRequestHandler, repo_id: str, asked: dict[str, Any]) -> None:
        """Where each large file is to be put; nothing of those that are here already."""
        if self._open_repo(handler, repo_id) is None:
            return
        if not self._knows(handler):
            return self.error(handler, 403, message="You have no write access to this repository")
        objects = []
        for large in asked["objects"]:
            known = {"oid": large["oid"], "size": large["size"]}
            upload = {"upload": {"href": f"{self.store_url}/stored/{large['oid']}"}}
            objects.append(known if self._stored(large["oid"]) is not None else known | {"actions": upload})
        self.send_json(handler, {"transfer": "basic", "objects": objects})

    def _keep(self, handler: BaseHTTPRequestHandler, digest: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != digest:
            return self.error(handler, 400, message="The content does not have this sha256.")
        self._uploaded[digest] = data
        self.send(handler, 200)

    def _commit(self, handler: BaseHTTPRequestHandler, repo_id: str, repo: Repo, body: bytes) -> None:
        """One commit on `main` from lines of JSON: a header, then what is added and what is deleted."""
        files = dict(repo.files)
        for line in filter(None, body.decode().splitlines()):
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header" and value.get("parentCommit", repo.sha) != repo.sha:
                return self.error(handler, 412, message="A commit has happened since. Please refresh and try again.")
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                stored = self._stored(value["oid"])
                if stored is None:
                    return self.error(handler, 400, message=f"{value['path']} was not uploaded.")
                files[value["path"]] = stored
            elif key == "deletedFile":
                files.pop(value["path"], None)
            elif key == "deletedFolder":
                inside = value["path"].rstrip("/") + "/"
                files = {name: data for name, data in files.items() if not name.startswith(inside)}
        sha = _commit_id(files, repo.sha)
        self.repos[repo_id] = replace(repo, files=files, sha=sha, earlier={**repo.earlier, repo.sha: repo.files})
        self.send_json(handler, {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{repo_id}/commit/{sha}"})


def _commit_id(files: Mapping[str, bytes], parent: str = "") -> str:
    """40 hex digits that stand for these files after that commit."""
    content = b"".join(name.encode() + data for name, data in sorted(files.items()))
    return hashlib.sha1(parent.encode() + content).hexdigest()


def _blob_id(data: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _is_large(name: str, data: bytes) -> bool:
    return name.endswith(LARGE) or len(data) > LARGE_FROM


def _facts(repo_id: str, repo: Repo, sha: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    name = "/".join(repo_id.split("/")[-2:])
    return {
        "_id": "0" * 24,
        "id": name,
        "modelId": name,
        "sha": sha,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "sdk": repo.sdk,
        "createdAt": "2024-01-01T00:00:00.000Z",
        "lastModified": "2024-01-01T00:00:00.000Z",
        "cardData": _header(files.get("README.md", b"").decode()),
        "siblings": [_sibling(file, data) for file, data in files.items()],
    }


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    entry = _entry(name, data)
    sibling = {"rfilename": name, "size": len(data), "blobId": entry["oid"]}
    return sibling | ({"lfs": {"sha256": entry["lfs"]["oid"], **entry["lfs"]}} if "lfs" in entry else {})


def _header(text: str) -> Any:
    """The YAML at the start of a README. Raises `yaml.YAMLError`."""
    front = FRONT_MATTER.match(text)
    return yaml.safe_load(front["yaml"]) if front else {}


def _entry(name: str, data: bytes) -> dict[str, Any]:
    """A file in the list of a repository's files."""
    entry = {"type": "file", "path": name, "size": len(data), "oid": _blob_id(data)}
    if not _is_large(name, data):
        return entry
    return entry | {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}


def _way_up(path: str, size: int, there: bytes | None) -> dict[str, Any]:
    """How a file of this name and size is to be sent, and the hash of what is there under its name."""
    large = path.endswith(LARGE) or size > LARGE_FROM
    oid = None if there is None else hashlib.sha256(there).hexdigest() if large else _blob_id(there)
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def _serve(hub: Hub) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.answer(self)

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def process_request(self, request: Any, client_address: Any) -> None:
            hub._connections.add(request)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            hub._connections.discard(request)
            super().shutdown_request(request)

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # the client hung up, as the tests make it do

    return Server(("127.0.0.1", 0), Handler)
