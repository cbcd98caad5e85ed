"""What is published of a folder: what git keeps, nothing through links, and nothing that looks like a secret."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from demo_app.errors import DemoError
from demo_app.publishing.errors import PublishError
from demo_app.publishing.parcel import known_files
from demo_app.publishing.plain_files import plain_files
from demo_app.publishing.secrets import refuse_secrets
from demo_app.publishing.selection import selected

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGH01234567"
HF, GITHUB, OPENAI = f"hf_{LETTERS[:34]}", f"ghp_{LETTERS[:36]}", f"sk-proj-{LETTERS}"
KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_git_ignores_is_what_is_left_out(tmp_path: Path) -> None:
    """The same files as `git ls-files`, but for hidden ones: also below a folder of the repository."""
    if shutil.which("git") is None:
        pytest.skip("no git here to compare with")
    repository = write(
        tmp_path / "repository",
        {
            ".gitignore": "*.tmp\n/plugins/mine/build/\nnotes*\n!notes.md\ndata/**/raw\n# comment\n",
            "plugins/mine/.gitignore": "!kept.tmp\nlocal.py\ncaf\u00e9.txt\nsub/*\n!sub/yes.txt\nlink\n",
            **{
                f"plugins/mine/{name}": "x"
                for name in (
                    *("a.py", "b.tmp", "kept.tmp", "build/x.py", "notes.txt", "notes.md", "local.py", "deep/local.py"),
                    *(
                        "deep/build/x.py",
                        "data/a/raw/1.csv",
                        "data/a/done.csv",
                        "café.txt",
                        "sub/no.txt",
                        "sub/yes.txt",
                    ),
                    *("sub/yes.txt", "deep/local.pyx", "with space.txt"),
                )
            },
            "plugins/mine/deep/.gitignore": "!local.py\n",
        },
    )
    (repository / "plugins" / "mine" / "link").symlink_to(tmp_path)  # ignored, so it may lead anywhere
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    mine = repository / "plugins" / "mine"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=mine, check=True, capture_output=True, text=True).stdout.split("\0")
    assert set(selected(mine)) == {name for name in listed if name and not name.rpartition("/")[2].startswith(".")}
    assert "deep/local.py" in selected(mine)


def test_what_tools_write_and_virtual_environments_are_left_out(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "mine",
        {
            **dict.fromkeys(("mine.py", "data/words.txt", "build/a.py", "deep/build/a.py"), "x"),
            **dict.fromkeys((".env", "train.log", "wandb/run-1/config.yaml", "mlruns/0/meta.yaml"), HF),
            **dict.fromkeys(("my-env/pyvenv.cfg", "my-env/lib/secrets.json", "__pycache__/a.pyc"), HF),
        },
    )
    assert set(selected(folder, top={"build"})) == {"mine.py", "data/words.txt", "deep/build/a.py"}


def test_weights_are_published_though_git_ignores_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", {".gitignore": "*.safetensors\n", "w/a.safetensors": "", "w/b.safetensors": ""})
    assert set(selected(folder, needed=["w/a.safetensors", "w/none"])) == {"w/a.safetensors"}


def test_an_outer_repository_that_ignores_the_folder_says_nothing_of_its_files(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, {".gitignore": "mine/\n*.tmp\n", "mine/a.py": "", "mine/b.tmp": ""})
    assert set(selected(tmp_path / "mine")) == {"a.py", "b.tmp"}


@pytest.mark.parametrize("target", ["../other/words.txt", "../other", "/etc/hostname", "inside"])
def test_no_link_is_followed_out_of_the_folder_or_to_a_folder(target: str, tmp_path: Path) -> None:
    write(tmp_path, {"other/words.txt": "one", "mine/inside/a.txt": "x"})
    (tmp_path / "mine" / "link").symlink_to(target)
    with pytest.raises(PublishError, match=r"mine/link is a link to .*; put a copy in its place, or name it in"):
        selected(tmp_path / "mine")
    (tmp_path / "mine" / ".gitignore").write_text("link\n")
    assert set(selected(tmp_path / "mine")) == {"inside/a.txt"}
    if target != "inside":  # not even if it is a checkpoint's own file
        (tmp_path / "mine" / "w.json").symlink_to("../other/words.txt")
        with pytest.raises(PublishError, match=r"w\.json is a link"):
            selected(tmp_path / "mine", needed=["w.json"])


def test_a_link_inside_the_folder_is_its_content(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", {"a/words.txt": "one"})
    (folder / "b.txt").symlink_to("a/words.txt")
    assert set(selected(folder)) == {"a/words.txt", "b.txt"}


SECRETS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("token", "token.txt", "hf_token", "id_rsa", "deep/id_ed25519", "secrets.json", "client_secret.json"),
            *("prod.env", "credentials.json", "kaggle.json", "server.key", "store.p12", "secrets.toml", "TOKEN"),
            *("openai_api_key.txt", "passwords.txt", "service-account-1.json"),
        ),
        "",
    ),
    "config.json": f'{{"token": "{HF}"}}',
    "notes.md": f"git clone https://{GITHUB}@github.com/me/x",
    "a.py": f"KEY = '{OPENAI}'",
    "b.py": f'key = "sk-{LETTERS}"',
    "c.yaml": f"aws_secret_access_key: {LETTERS[:40]}",
    "d.ini": "id = AKIAABCDEFGHIJKLMNOP",
    "server.pem": KEY,
    "g.json": '{"private_key": "' + KEY.replace("OPENSSH ", "").replace("\n", "\\n") + '"}',
    "late.csv": "a,b\n" * 1_100_000 + HF,  # past the first block
}
HARMLESS = {
    **dict.fromkeys(
        (
            *("tokenizer.json", "tokens.txt", "special_tokens_map.json", "token.py", "secrets.py", "environment.yml"),
            *("keys.py", "id_rsa.pub", "monkey.json", "key.json", "credentials.py", "turkey.txt"),
        ),
        "",
    ),
    "README.md": "HF_TOKEN=hf_... demo-app publish; sk-estimator-doc-link-container; AKIAIOSFODNN7EXAMPLE",
    "merges.txt": "hf _\nghp _\nhf_transfer hf_hub_download_of_a_very_long_name_with_underscores",
    "reads.py": 'START = b"-----BEGIN RSA ' + 'PRIVATE KEY-----"',
    "words.txt": f"task-{LETTERS} xhf_{LETTERS[:34]}",
    "cert.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_refused_by_name_or_content_and_never_shown(name: str, tmp_path: Path) -> None:
    write(tmp_path, {name: SECRETS[name]} | HARMLESS)
    with pytest.raises(PublishError) as refused:
        refuse_secrets(selected(tmp_path))
    said = str(refused.value)
    assert said.startswith(f"{name} (")
    assert "name it in .gitignore" in said
    assert not [text for text in (HF, GITHUB, OPENAI, LETTERS[:20], "AKIAABCDEF") if text in said]


def test_what_only_resembles_a_secret_passes(tmp_path: Path) -> None:
    refuse_secrets(selected(write(tmp_path, HARMLESS)))
    refuse_secrets({"model.safetensors": HF.encode(), "weights.dat": b"\0" + HF.encode()})  # not searched


def test_several_secrets_are_named_together(tmp_path: Path) -> None:
    files = dict.fromkeys(("1/token", "2/token", "3/token", "4/token", "5/token", "6/token", "7/token"), b"")
    with pytest.raises(PublishError, match=r"^1/token .*5/token \(its name says it is a secret\) and 2 more must not"):
        refuse_secrets(files)


def test_of_a_checkpoint_the_same_files_are_left_out_or_refused(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": "{}", "wandb/run/config.yaml": HF, "train.log": HF, "debug/x.txt": "y"})
    (tmp_path / ".gitignore").write_text("debug/\n")
    assert set(plain_files(tmp_path)) == {"config.json"}
    write(tmp_path, {"token": "x"})
    with pytest.raises(PublishError, match=r"^token .its name"):
        plain_files(tmp_path)


def test_from_the_browser_only_the_checkpoints_known_files_go_away(
    tiny_checkpoint: Callable[..., Path],
) -> None:
    from demo_app.api import Checkpoint, Demo

    folder = tiny_checkpoint({"a": 1}, files={"README.md": b"# x", "token": HF.encode(), "other.txt": b"mine"})
    here = Checkpoint(name="tiny", title="Tiny", folder=folder)
    demo = Demo(name="d", title="D", summary="S", load=lambda *_: 1, build=lambda _: None, checkpoints=(here,))
    assert set(known_files(folder, demo)) == {"README.md", "config.json", "model.safetensors"}
    (folder / "config.json").unlink()
    with pytest.raises(DemoError, match=r"lacks config\.json"):
        known_files(folder, demo)
