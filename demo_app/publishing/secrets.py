"""Files that look like a secret are not published. High-confidence patterns only; weights are not searched."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from demo_app.hub.upload import Files
from demo_app.publishing.errors import PublishError

NAMES = re.compile(
    r"token(\.(txt|json))?|hf[-_]?token.*|(.*[-_.])?api[-_]?keys?(\.(txt|json|ya?ml))?|id_(rsa|dsa|ecdsa|ed25519)(_sk)?"
    r"|((client|app|user)[-_])?secrets?(\.(json|toml|ya?ml|txt|ini|cfg|env))?"
    r"|(aws[-_])?credentials?(\.(json|toml|ya?ml|txt|ini|cfg|csv))?|passwords?(\.(json|ya?ml|txt))?"
    r"|(.*\.)?env(\.(local|production|development|dev|prod|test))?|.*\.(p12|pfx|jks|keystore|kdbx|ppk|key)"
    r"|kaggle\.json|service[-_]?account.*\.json|[._]?netrc|\.?pypirc|\.?git-credentials",
    re.IGNORECASE,
)
CONTENTS: Mapping[str, tuple[tuple[bytes, ...], re.Pattern[bytes]]] = {  # words to look for first, then the pattern
    what: (words, re.compile(rb"(?<![A-Za-z0-9_+-])(?:" + pattern + rb")(?![A-Za-z0-9_/+-])"))
    for what, words, pattern in (
        ("a token of the Hugging Face Hub", (b"hf_", b"api_org_"), rb"(?:hf|api_org)_[A-Za-z0-9]{30,40}"),
        ("a key of AWS", (b"AKIA", b"ASIA"), rb"(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}"),
        (
            "a secret key of AWS",
            (b"secret_access_key", b"SECRET_ACCESS_KEY"),
            rb"(?i:aws_secret_access_key)[\"']?\s*[=:]\s*[\"']?(?!\S*EXAMPLE)[A-Za-z0-9/+]{40}",
        ),
        (
            "a token of GitHub",
            (b"ghp_", b"gho_", b"ghs_", b"ghu_", b"ghr_", b"github_pat_"),
            rb"gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}",
        ),
        ("a token of GitLab", (b"glpat-",), rb"glpat-[A-Za-z0-9_-]{20,}"),
        (
            "an API key",
            (b"sk-",),
            rb"sk-(?:[A-Za-z0-9]{32,}|(?:proj|svcacct|admin|or-v1|ant-[a-z0-9]+)-[A-Za-z0-9_-]{32,})",
        ),
        ("a token of Slack", (b"xox",), rb"xox[abeoprs]-[0-9]+-[A-Za-z0-9-]{16,}"),
        ("a key of Google", (b"AIza",), rb"(?<!/)AIza[A-Za-z0-9_-]{35}"),
        ("a token of a package index", (b"pypi-AgE", b"npm_"), rb"pypi-AgE[A-Za-z0-9_-]{50,}|npm_[A-Za-z0-9]{36}"),
    )
} | {  # a program that only writes or reads keys has the line in quotes
    "a private key": ((b"PRIVATE KEY",), re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----(?![\"'`])"))
}
WEIGHTS = frozenset({".safetensors", ".onnx", ".gguf", ".png", ".jpg", ".jpeg", ".webp", ".wav", ".mp3", ".mp4"})
BLOCK = 2**22  # bytes that are searched at once
OVERLAP = 2**10  # longer than any match
SHOWN = 5  # files that the error names


def refuse_secrets(files: Files) -> None:
    """Raise `PublishError` that names the files which look like a secret, and never shows one."""
    found = list(_suspects(files))
    if found:
        named = [f"{name} ({why})" for name, why in found[:SHOWN]]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise PublishError(
            "{files} must not be published; take it out, or name it in .gitignore, and replace what was ever public.",
            files=", ".join(named) + more,
        )


def _suspects(files: Files) -> Iterator[tuple[str, str]]:
    for name, content in sorted(files.items()):
        if NAMES.fullmatch(PurePosixPath(name).name):
            yield name, "its name says it is a secret"
        elif PurePosixPath(name).suffix.lower() not in WEIGHTS and (what := _secret_in(content)):
            yield name, f"it has {what}"


def _secret_in(content: Path | bytes) -> str | None:
    """What secret a text holds; `None` if there is none, or it is no text."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        kept = b""
        while block := file.read(BLOCK):
            if not kept and b"\0" in block[:8192]:
                return None  # no text
            text = kept + block
            for what, (words, pattern) in CONTENTS.items():
                if any(word in text for word in words) and pattern.search(text):
                    return what
            kept = text[-OVERLAP:]
    return None
