"""A visitor's fine-tuned checkpoint, to take away: as a ZIP, or to the Hub with the visitor's own token.

Imports neither gradio nor torch.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from demo_app.api import Demo
from demo_app.hub.access import endpoint
from demo_app.hub.errors import Refused, Taken
from demo_app.hub.upload import Uploaded, upload
from demo_app.models.checkpoints import files_in
from demo_app.publishing.plain_files import plain_files

BESIDE = ("README.md", "metrics.json")  # what a training writes beside the files of a checkpoint


def known_files(folder: Path, demo: Demo[Any]) -> dict[str, Path]:
    """The files that make the folder a checkpoint of that demo, and what a training wrote beside them; no others.

    Raises `InputError` if the folder lacks some, `PublishError` for a file that is not plain data.
    """
    return plain_files(folder, only=(*files_in(demo, folder), *BESIDE))


def zipped(folder: Path, demo: Demo[Any], target: Path) -> Path:
    """Write the checkpoint's files to the ZIP `target`, in a folder of the same name. Returns `target`.

    Nothing is compressed, since weights do not shrink. Raises what `known_files` raises.
    """
    files = known_files(folder, demo)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, file in files.items():
            archive.write(file, f"{target.stem}/{name}")
    return target


def publish(folder: Path, demo: Demo[Any], repo_id: str, token: str, *, private: bool) -> Uploaded:
    """Upload the checkpoint to a new repository of that name. The token is used for this only, and stored nowhere.

    Raises `HubError`, in words for the page, if the Hub refuses or cannot be reached, also if the repository exists
    already; `DemoError` for a name that no repository can have; what `known_files` raises.
    """
    repo_id = repo_id.strip()
    files, message = known_files(folder, demo), "Fine-tuned with demo-app"
    try:
        return upload(files, repo_id, kind="model", message=message, private=private, given=token)
    except (Refused, Taken) as error:
        status = getattr(error, "status", None)
        tokens = f"{endpoint()}/settings/tokens"
        if status == 401:
            raise Refused(
                "The Hub does not know this token (401); make one that may write, at {place}.", place=tokens
            ) from None
        if status == 403:
            raise Refused(
                "This token may not write to {name} (403): the name is somebody else's, or the token may only read; "
                "choose a name of your own account, or make a token that may write, at {place}.",
                name=repo_id,
                place=tokens,
            ) from None
        if isinstance(error, Taken):
            raise Taken("{name} is on the Hub already; choose another name.", name=repo_id) from None
        raise
