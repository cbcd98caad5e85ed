"""The Hub of `demo_app.testing`, as the real client writes to it and reads from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from demo_app.testing.hub import Hub

CARD = "---\nlicense: mit\n---\n# A model\n"
SPACE = "---\ntitle: A page\nsdk: gradio\n---\n"


@pytest.fixture
def api(writable_hub: Hub) -> HfApi:
    """A client with write access."""
    from huggingface_hub import HfApi

    return HfApi()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 100)
    return folder


def test_a_folder_becomes_a_model_that_can_be_fetched(api: HfApi, test_hub: Hub, folder: Path, hub_cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    assert str(api.create_repo("me/model")) == f"{test_hub.url}/me/model"
    commit = api.upload_folder(repo_id="me/model", folder_path=folder).oid
    repo = test_hub.repos["me/model"]
    assert repo.sha == commit
    assert {name: repo.files[name] for name in repo.files if name != ".gitattributes"} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert sorted(api.list_repo_files("me/model")) == [
        ".gitattributes",
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    for path in folder.iterdir():
        fetched = hf_hub_download("me/model", path.name, revision=commit, cache_dir=hub_cache)
        assert Path(fetched).read_bytes() == path.read_bytes()


def test_large_files_are_uploaded_separately_and_only_once(api: HfApi, test_hub: Hub, folder: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for name in ("me/one", "me/two"):
        api.create_repo(name)
        api.upload_folder(repo_id=name, folder_path=folder)
    assert test_hub.paths("PUT") == [f"/stored/{digest}"]


def test_a_folder_that_has_not_changed_makes_no_commit(api: HfApi, test_hub: Hub, folder: Path) -> None:
    api.create_repo("me/model")
    first = api.upload_folder(repo_id="me/model", folder_path=folder).oid
    test_hub.log.clear()
    api.upload_folder(repo_id="me/model", folder_path=folder)
    assert test_hub.repos["me/model"].sha == first
    assert not any("/commit/" in path for path in test_hub.paths("POST"))


def test_earlier_commits_stay_and_files_can_be_deleted(
    api: HfApi, test_hub: Hub, folder: Path, hub_cache: Path
) -> None:
    from huggingface_hub import hf_hub_download

    api.create_repo("me/model")
    first = api.upload_folder(repo_id="me/model", folder_path=folder).oid
    (folder / "config.json").unlink()
    (folder / "model.safetensors").write_bytes(b"other weights")
    api.upload_folder(repo_id="me/model", folder_path=folder, delete_patterns="*.json")
    assert "config.json" not in test_hub.repos["me/model"].files
    assert Path(hf_hub_download("me/model", "config.json", revision=first, cache_dir=hub_cache)).read_text() == "{}"
    old = hf_hub_download("me/model", "model.safetensors", revision=first, cache_dir=hub_cache)
    assert Path(old).stat().st_size == 25_600


def test_a_space_has_its_own_path_and_its_sdk(api: HfApi, test_hub: Hub, folder: Path) -> None:
    (folder / "README.md").write_text(SPACE)
    url = api.create_repo("page", repo_type="space", space_sdk="gradio", private=True)
    assert str(url) == f"{test_hub.url}/spaces/me/page"
    api.upload_folder(repo_id="me/page", folder_path=folder, repo_type="space")
    space = test_hub.repos["spaces/me/page"]
    assert (space.sdk, space.private) == ("gradio", True)
    assert space.files["README.md"].decode() == SPACE
    assert api.space_info("me/page").sha == space.sha
    with pytest.raises(Exception, match="404"):
        api.model_info("me/page")


def test_a_space_whose_readme_names_no_sdk_is_refused(api: HfApi, folder: Path) -> None:
    api.create_repo("me/page", repo_type="space", space_sdk="gradio")
    with pytest.raises(ValueError, match="sdk"):
        api.upload_folder(repo_id="me/page", folder_path=folder, repo_type="space")


def test_a_repository_is_created_once_unless_it_may_exist(api: HfApi) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api.create_repo("me/model")
    api.create_repo("me/model", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("me/model")


@pytest.mark.parametrize("token", ["hf_of_somebody_else", None])
def test_nobody_else_can_write(api: HfApi, monkeypatch: pytest.MonkeyPatch, folder: Path, token: str | None) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api.create_repo("me/model")
    monkeypatch.setenv("HF_TOKEN", token or "")
    stranger = HfApi()
    with pytest.raises(HfHubHTTPError, match="401"):
        stranger.create_repo("me/other")
    with pytest.raises(HfHubHTTPError, match="403"):
        stranger.upload_folder(repo_id="me/model", folder_path=folder)


def test_nobody_can_write_in_the_name_of_others(api: HfApi) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    assert api.whoami()["name"] == "me"
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("somebody/model")
