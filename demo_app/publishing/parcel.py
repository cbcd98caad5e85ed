"""A fine-tuned checkpoint to take away: as a ZIP, or to the Hub with the visitor's own token.

Imports neither gradio nor torch.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from demo_app.hub.access import endpoint
from demo_app.hub.errors import Refused, Taken
from demo_app.hub.upload import Uploaded, upload
from demo_app.publishing.checkpoint import plain_files


def zipped(folder: Path, target: Path) -> Path:
    """The checkpoint's files in a folder that is called as the ZIP. Weights do not shrink, so nothing is packed."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, file in plain_files(folder).items():
            archive.write(file, f"{target.stem}/{name}")
    return target


def publish(folder: Path, repo_id: str, token: str, *, private: bool) -> Uploaded:
    """Make a repository of the checkpoint. The token is used for that, and kept nowhere.

    Raises `HubError` in words for a page, and `DemoError` for a name that is none. A repository that is there already
    is left alone.
    """
    repo_id = repo_id.strip()
    message = "Fine-tuned with demo-app"
    try:
        return upload(plain_files(folder), repo_id, kind="model", message=message, private=private, given=token)
    except (Refused, Taken) as error:
        status = getattr(error, "status", None)
        tokens = f"{endpoint()}/settings/tokens"
        if status == 401:
            raise Refused(f"The Hub does not know this token (401); make one that may write, at {tokens}.") from None
        if status == 403:
            raise Refused(
                f"This token may not write to {repo_id} (403): the name is somebody else's, or the token may only "
                f"read; choose a name of your own account, or make a token that may write, at {tokens}."
            ) from None
        if isinstance(error, Taken):
            raise Taken(f"{repo_id} is on the Hub already; choose another name.") from None
        raise
