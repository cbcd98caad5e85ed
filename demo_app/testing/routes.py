"""What the test Hub answers to each request of huggingface_hub: files, facts of a repository, uploads and commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import unquote

import yaml

from demo_app.testing.answers import Answers
from demo_app.testing.repositories import (
    Repo,
    blob_id,
    commit_id,
    entry,
    facts,
    header,
    is_large,
    upload_mode,
)

REPO = r"(?P<repo>(?:(?:spaces|datasets)/)?[^/]+/[^/]+)"
RESOLVE = re.compile(rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
STORED = re.compile(r"/stored/(?P<digest>[0-9a-f]{64})")
LFS = re.compile(rf"/{REPO}\.git/info/lfs/objects/batch")
API = re.compile(
    r"/api/(?P<kind>models|spaces|datasets)/(?P<name>[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|preupload|commit)/(?P<revision>[^/]+))?"
)

Fault = Callable[[BaseHTTPRequestHandler, str, str], bool]
"""`(handler, method, path)`: returns True if it has answered, so that the Hub does not."""


class Request(NamedTuple):
    """A request as it came in, with header names in Title-Case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Routes(Answers):
    """Answers every request from `repos`, unless `fault` does, and records it in `log`.

    `url` and `store_url` are the addresses of the same server, set by whoever runs it: two origins to a client.
    """

    url: str
    store_url: str

    def __init__(self, token: str | None, user: str) -> None:
        super().__init__()
        self.token = token
        self.user = user
        self.repos: dict[str, Repo] = {}
        self.log: list[Request] = []
        self.fault: Fault | None = None
        self.xet = True  # offer large files through Xet too, as the real Hub does; the clients here decline
        self._uploaded: dict[str, bytes] = {}  # large files by their sha256, before the commit that adds them

    def content(self, path: str) -> bytes | None:
        """The bytes that `GET path` returns; `None` if it returns an error or a redirect."""
        if stored := STORED.fullmatch(path):
            return self._stored(stored["digest"])
        asked = RESOLVE.fullmatch(path)
        repo = self.repos.get(asked["repo"]) if asked else None
        commit = repo.at(unquote(asked["revision"])) if asked and repo else None
        data = commit[1].get(unquote(asked["file"])) if asked and commit else None
        return None if asked is None or data is None or is_large(asked["file"], data) else data

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Record a request and answer it, unless the fault does."""
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
        if not is_large(file, data):
            return self.send_file(handler, data, ETag=f'"{blob_id(data)}"', X_Repo_Commit=sha)
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
        """The repository; `None` after a refusal, which for a private one says that it does not exist."""
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
        """Whether the request has the Hub's token."""
        return self.token is not None and handler.headers.get("Authorization") == f"Bearer {self.token}"

    def _stored(self, digest: str) -> bytes | None:
        if digest in self._uploaded:
            return self._uploaded[digest]
        commits = [files for repo in self.repos.values() for files in (repo.files, *repo.earlier.values())]
        large = (data for files in commits for name, data in files.items() if is_large(name, data))
        return next((data for data in large if hashlib.sha256(data).hexdigest() == digest), None)

    def _whoami(self, handler: BaseHTTPRequestHandler) -> None:
        if self._knows(handler):
            self.send_json(handler, {"type": "user", "name": self.user, "orgs": []})
        else:
            self.error(handler, 401, message="Invalid credentials in Authorization header")

    # Facts of a repository, and uploads

    def _api(self, handler: BaseHTTPRequestHandler, repo_id: str, what: str, revision: str, body: bytes) -> None:
        repo = self._open_repo(handler, repo_id)
        commit = repo.at(revision) if repo else None
        if repo is None:
            return
        if commit is None:
            return self.error(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        sha, files = commit
        if what == "revision":
            self.send_json(handler, facts(repo_id, repo, sha, files))
        elif what == "tree":
            self.send_json(handler, [entry(name, data) for name, data in files.items()])
        elif not self._knows(handler):
            self.error(handler, 403, message="You have no write access to this repository")
        elif what == "preupload":
            asked = [(file["path"], file["size"]) for file in json.loads(body)["files"]]
            self.send_json(handler, {"files": [upload_mode(path, size, files.get(path)) for path, size in asked]})
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
        self.repos[repo_id] = Repo(files=files, sha=commit_id(files, repo_id), private=private, sdk=asked.get("sdk"))
        self.send_json(handler, {"url": known, "name": f"{owner}/{asked['name']}"})

    def _validate_card(self, handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        """Refuse a README if its header is no YAML mapping, and that of a Space without an sdk."""
        try:
            fields = header(asked["content"])
        except yaml.YAMLError as error:
            return self.send_json(handler, {"errors": [{"message": str(error)}], "warnings": []}, 400)
        wrong = []
        if not isinstance(fields, dict):
            wrong.append("the metadata is no mapping")
        elif asked.get("repoType") == "space" and fields.get("sdk") not in ("gradio", "docker", "static"):
            wrong.append('"sdk" must be one of [gradio, docker, static]')
        warnings = [] if fields else [{"message": "empty or missing yaml metadata in repo card"}]
        errors = [{"message": message} for message in wrong]
        self.send_json(handler, {"errors": errors, "warnings": warnings}, 400 if wrong else 200)

    def _lfs_batch(self, handler: BaseHTTPRequestHandler, repo_id: str, asked: dict[str, Any]) -> None:
        """Tell where to upload each large file; files that the Hub has need no upload."""
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
        """One commit on `main` from lines of JSON: a header, then added and deleted files."""
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
        sha = commit_id(files, repo.sha)
        self.repos[repo_id] = replace(repo, files=files, sha=sha, earlier={**repo.earlier, repo.sha: repo.files})
        self.send_json(handler, {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{repo_id}/commit/{sha}"})
