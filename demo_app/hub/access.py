"""Which Hub is asked, with which token, or that none shall be asked: what the environment says."""

from __future__ import annotations

import os

from demo_app.hub.errors import HubError, Offline, Refused

BAD_TOKEN = "HF_TOKEN has a character that no token has; copy the token again, whole, and set HF_TOKEN."


def endpoint() -> str:
    """The address of the Hub, without a slash at its end; quotes are left out, and a missing scheme is https."""
    value = os.environ.get("HF_ENDPOINT", "").strip().strip("\"'").strip().rstrip("/")
    return value if "://" in value else f"https://{value or 'huggingface.co'}"


def tokens_page() -> str:
    """The address of the page where a visitor of the Hub makes tokens."""
    return f"{endpoint()}/settings/tokens"


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids requests; huggingface_hub reads it only once."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def token(given: str | None = None) -> str:
    """The token to upload with: `given`, else that in the environment.

    Raises `Refused` if there is none or it cannot be one, and `Offline` with HF_HUB_OFFLINE.
    """
    value = (os.environ.get("HF_TOKEN", "") if given is None else given).strip()
    if not value:
        raise Refused(
            "HF_TOKEN is not set; make an access token that may write, at {place}, and set it."
            if given is None
            else "There is no token yet; make one that may write, at {place}, and paste it.",
            place=tokens_page(),
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise Refused(
            BAD_TOKEN if given is None else "The token has a character that no token has; copy it again, whole."
        )
    if is_offline():
        raise Offline("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it, then try again.")
    return value


def bad_token() -> HubError:
    """The error for a token that cannot be sent. It must not have a cause, which would show the token."""
    return HubError(BAD_TOKEN)
