"""Pin a repository of the Hub at one commit."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_app.errors import DemoError, SettingsError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo
REPO = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
READ_TOO = ("config.json", "tokenizer.json", "tokenizer_config.json")  # if they are beside the weights
SECONDS = 10.0  # to wait for the Hub


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A repository on the Hub at one commit, with what a plugin states about it."""

    repo_id: str
    revision: str  # 40 hex digits
    sizes: Mapping[str, int]  # bytes of the files to fetch, by name
    sha256: Mapping[str, str]  # of the weights, by name
    license: str


def pin(asked: str) -> Pinned:
    """Ask the Hub for the current commit of "owner/name" or "owner/name@revision".

    Raises `SettingsError` for a malformed name, `DemoError` if the Hub does not answer or has no such weights.
    """
    parts = REPO.fullmatch(asked)
    if parts is None:
        raise SettingsError(f"{asked!r} names no repository; write OWNER/NAME, or OWNER/NAME@REVISION.")
    info = _ask(parts["id"], parts["revision"])
    files = {file.rfilename: file for file in info.siblings or ()}
    weights = [name for name in files if name.endswith(".safetensors") and "/" not in name]
    if not weights:
        raise DemoError(
            f"{parts['id']} has no .safetensors file at its root; choose a repository or revision that has."
        )
    wanted = [name for name in READ_TOO if name in files] + sorted(weights)
    license = info.card_data.get("license") if info.card_data else None
    return Pinned(
        repo_id=parts["id"],
        revision=str(info.sha),
        sizes={name: files[name].size or 0 for name in wanted},
        sha256={name: lfs.sha256 for name in weights if (lfs := files[name].lfs) is not None},
        license=license if isinstance(license, str) else "see the repository",
    )


def _ask(repo_id: str, revision: str | None) -> ModelInfo:
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        return api.model_info(repo_id, revision=revision, files_metadata=True, timeout=SECONDS)
    except GatedRepoError:
        raise DemoError(
            f"The Hub does not show {repo_id} to everybody; accept its terms there and set HF_TOKEN."
        ) from None
    except RepositoryNotFoundError:
        raise DemoError(f"The Hub has no repository {repo_id} for us; check its name, or set HF_TOKEN.") from None
    except RevisionNotFoundError:
        raise DemoError(f"{repo_id} has no revision {revision}; name a branch, a tag or a commit.") from None
    except Exception as error:  # the client's errors have no common base class, nor the same name in all its versions
        status = f" ({error.response.status_code})" if isinstance(error, HfHubHTTPError | httpx.HTTPStatusError) else ""
        raise DemoError(
            f"The Hub does not say what is in {repo_id}{status}; check the network, or try again without --hub."
        ) from error
