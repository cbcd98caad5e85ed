"""`demo-app publish`: a checkpoint on a Hub, with its card, and fetched back from there."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins_on_disk import ROOT, Plugins

from demo_app import Checkpoint
from demo_app.cli.main import main
from demo_app.hub import fetch, files
from demo_app.testing.hub import TOKEN, Hub
from demo_app.unsafe_files import UNSAFE_SUFFIXES

Run = Callable[..., "tuple[int, str]"]

READER = """
from pathlib import Path
from demo_app import Checkpoint, Demo, hookimpl

def load(folder, device):
    import json
    return json.loads((folder / "config.json").read_text())

def build(handle):
    pass

@hookimpl
def register_demos():
    here = Path(__file__).parent / "weights"
    files = ("config.json", "words.txt")
    yield Demo(name="reader", title="Reader", summary="Reads aloud.", load=load, build=build, checkpoints=(
        Checkpoint(name="theirs", title="Theirs", folder=here / "theirs", files=files, license="mit"),
        Checkpoint(name="plain", title="Plain", folder=here / "plain", files=files),
        Checkpoint(name="far", title="Far", repo_id="someone/far", revision="0" * 40, files=files),
    ))
"""
CARD = (
    "---\nlanguage: en\nlicense: mit\npipeline_tag: text-to-speech\ntags:\n- loud\n---\n\n# Theirs\n\nWords about it.\n"
)


@pytest.fixture
def weights(plugins: Plugins) -> Path:
    """The reader's folder of checkpoints: theirs, with a card, and plain, with neither card nor licence."""
    folder = plugins.add("reader", READER) / "weights"
    for name in ("theirs", "plain"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text('{"voice": 1}')
        (folder / name / "words.txt").write_text("one two")
    (folder / "theirs" / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def run(plugins: Plugins, capfd: pytest.CaptureFixture[str]) -> Run:
    """`demo-app publish ...` with the reader: the exit code and the output, which never has the token."""

    def run(*arguments: str | Path, plugins_dir: Path = plugins.path) -> tuple[int, str]:
        code = main(["publish", *map(str, arguments), "--plugins-dir", str(plugins_dir)])
        said = "".join(capfd.readouterr())
        assert TOKEN not in said
        return code, said

    return run


def pinned(said: str) -> Checkpoint:
    """The checkpoint of the printed lines."""
    start = said.index("Checkpoint(")
    checkpoint = eval(said[start : said.index("\n),\n", start) + 2], {"Checkpoint": Checkpoint})
    assert isinstance(checkpoint, Checkpoint)
    return checkpoint


def card(hub: Hub, repo_id: str) -> tuple[dict[str, Any], str]:
    _, header, body = hub.repos[repo_id].files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(header), body


# What was published is what is fetched


@pytest.mark.parametrize("trained", [False, True])
def test_a_text_classifier_fetched_back_gives_the_same_logits(
    trained: bool, run: Run, writable_hub: Hub, tmp_path: Path
) -> None:
    from demo_app_text_classifier.classifier import Classifier

    embedded = ROOT / "plugins" / "text_classifier" / "demo_app_text_classifier" / "weights" / "sst2"
    source, license = "text_classifier/sst2", ["--license", "apache-2.0"][: 2 * trained]
    if trained:  # what train.py leaves: the files alone, no card
        shutil.copytree(embedded, tmp_path / "mine", ignore=shutil.ignore_patterns("README.md"))
        source = f"text_classifier={tmp_path / 'mine'}"
    code, said = run(source, "me/sst2", *license, plugins_dir=ROOT / "plugins")
    assert code == 0, said

    checkpoint = pinned(said)
    assert (checkpoint.name, checkpoint.repo_id, checkpoint.license) == (
        "mine" if trained else "sst2",
        "me/sst2",
        "apache-2.0",
    )
    assert checkpoint.revision == writable_hub.repos["me/sst2"].sha
    assert set(checkpoint.sha256) == {"config.json", "model.safetensors", "tokenizer.json"}
    texts = ["A warm and wonderful film.", "Dull.", ""]
    here, there = (Classifier.load(folder, "cpu") for folder in (embedded, fetch.fetch(checkpoint)))
    assert checkpoint.size == files.size_on_disk(fetch.fetch(checkpoint))
    encoded = here.encode(texts)
    assert there.encode(texts).ids.equal(encoded.ids)
    assert there.network(encoded.ids, encoded.mask).logits.equal(here.network(encoded.ids, encoded.mask).logits)
    assert there.labels == here.labels


def test_a_picture_classifier_fetched_back_gives_the_same_logits(run: Run, writable_hub: Hub) -> None:
    import numpy as np
    from demo_app_separable_conv.classifier import Classifier
    from PIL import Image

    code, said = run("separable_conv/cifar10", "me/pictures", plugins_dir=ROOT / "plugins")
    assert code == 0, said
    embedded = ROOT / "plugins" / "separable_conv" / "demo_app_separable_conv" / "weights" / "cifar10"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    here, there = (Classifier.load(folder, "cpu") for folder in (embedded, fetch.fetch(pinned(said))))
    x = here.prepare([noise])
    assert there.logits(x).equal(here.logits(x))


# The card


def test_the_card_of_the_folder_is_kept_and_its_header_completed(run: Run, weights: Path, writable_hub: Hub) -> None:
    code, said = run("reader/theirs", "me/theirs")
    assert code == 0, said
    fields, body = card(writable_hub, "me/theirs")
    assert body == "\n# Theirs\n\nWords about it.\n"
    assert fields == {
        "language": "en",
        "license": "mit",
        "pipeline_tag": "text-to-speech",
        "tags": ["loud", "demo-app"],
        "library_name": "demo-reader",
    }
    assert (weights / "theirs" / "README.md").read_text() == CARD  # here nothing was changed


def test_a_folder_without_a_card_gets_one_made_from_its_files(
    run: Run, weights: Path, writable_hub: Hub, tmp_path: Path
) -> None:
    shutil.copytree(weights / "plain", tmp_path / "taught")
    (tmp_path / "taught" / "metrics.json").write_text('{"accuracy": 0.75, "notes": "x"}')
    (tmp_path / "taught" / ".cache").mkdir()
    (tmp_path / "taught" / ".cache" / "secret.pkl").write_bytes(b"no")
    code, said = run(f"reader={tmp_path / 'taught'}", "me/taught", "--license", "CC-BY-4.0")
    assert code == 0, said
    fields, body = card(writable_hub, "me/taught")
    assert fields["license"] == pinned(said).license == "cc-by-4.0"
    assert fields["pipeline_tag"] == "text-to-speech"  # as the demo's other card says
    assert "language" not in fields  # unknown
    digest = hashlib.sha256(b"one two").hexdigest()
    for part in (
        "# taught: weights for Reader",
        "demo-reader 0.1.0",
        f"| words.txt | 7 | `{digest}` |",
        "| accuracy | 0.75 |",
    ):
        assert part in body
    assert pinned(said).files == ("config.json", "words.txt")  # what the demo's others have, and no metrics
    assert set(writable_hub.repos["me/taught"].files) == {
        *(".gitattributes", "README.md", "config.json", "words.txt", "metrics.json"),
    }


def test_a_licence_is_never_invented(run: Run, weights: Path, writable_hub: Hub) -> None:
    code, said = run("reader/plain", "me/plain")
    assert (code, "has no licence" in said, "--license apache-2.0" in said, writable_hub.log) == (1, True, True, [])
    (weights / "theirs" / "README.md").write_text(CARD.replace("license: mit", "license: gpl-3.0"))
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "says gpl-3.0 and the plugin mit; say --license" in said, writable_hub.log) == (1, True, [])
    assert run("reader/theirs", "me/theirs", "--license", "gpl-3.0")[0] == 0
    assert card(writable_hub, "me/theirs")[0]["license"] == "gpl-3.0"


def test_a_card_whose_header_is_no_yaml_is_refused(run: Run, weights: Path, writable_hub: Hub) -> None:
    (weights / "theirs" / "README.md").write_text("---\nlicense: [mit\n---\n# x\n")
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "The header of README.md is no YAML" in said, writable_hub.log) == (1, True, [])


# What is not published


def test_dry_run_lists_the_files_and_sends_no_request(run: Run, weights: Path, test_hub: Hub) -> None:
    code, said = run("reader/theirs", "me/theirs", "--dry-run")
    assert code == 0
    assert [line.split()[1] for line in said.splitlines()[:3]] == ["README.md", "config.json", "words.txt"]
    assert "nothing was created" in said
    assert test_hub.log == []


def test_the_files_are_listed_before_an_upload_and_at_a_terminal_the_answer_decides(
    run: Run, weights: Path, writable_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer, options, code in (("n\n", (), 1), ("", (), 1), ("y\n", (), 0), ("n\n", ("--yes", "--force"), 0)):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        found, said = run("reader/theirs", "me/theirs", *options)
        assert found == code, said
        assert said.index("words.txt") < said.index("bytes in 3 files") < said.index("?" if not options else "are in")
        assert ("me/theirs" in writable_hub.repos) == (code == 0)
        assert ("nothing was created" in said) == (code == 1)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("secrets.json", b"{}", "secrets.json (its name says it is a secret) must not be published"),
        ("pytorch_model.bin", b"x", "pytorch_model.bin is a pickle"),
        ("extra/state.pt", b"x", "extra/state.pt is a pickle"),
        *((f"weights{suffix}", b"x", f"weights{suffix} is a pickle") for suffix in (*UNSAFE_SUFFIXES, ".PTH")),
        ("words.model", b"\x80\x04\x95", "words.model is a pickle"),
        ("vocab.txt", b"PK\x03\x04", "vocab.txt is a pickle"),
        ("run.sh", b"echo", "run.sh is neither weights nor text"),
        ("model.safetensors", b"not at all", "model.safetensors is no safetensors file"),
    ],
)
def test_files_that_may_run_code_or_are_no_weights_are_refused(
    name: str, content: bytes, sentence: str, run: Run, weights: Path, writable_hub: Hub
) -> None:
    path = weights / "theirs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    code, said = run("reader/theirs", "me/theirs")
    assert (code, sentence in said, writable_hub.log) == (1, True, []), said


def test_a_checkpoint_that_does_not_load_is_refused(run: Run, weights: Path, writable_hub: Hub) -> None:
    (weights / "theirs" / "config.json").write_text("{")
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "does not load in reader (JSONDecodeError" in said, writable_hub.log) == (1, True, []), said


@pytest.mark.parametrize(
    ("source", "code", "sentence"),
    [
        ("reader", 2, "write DEMO/CHECKPOINT, or DEMO=FOLDER"),
        ("nobody/x", 2, "there is no demo 'nobody'; there are: reader."),
        ("reader/x", 1, "Reader has no checkpoint 'x'; choose one of: theirs, plain, far."),
        ("reader/far", 1, "reader/far is on the Hub already, as someone/far"),
        ("reader=nowhere", 2, "the checkpoint nowhere is no folder"),
        ("nobody=nowhere", 2, "there is no demo 'nobody'"),
    ],
)
def test_an_unknown_source_is_named(
    source: str, code: int, sentence: str, run: Run, weights: Path, writable_hub: Hub
) -> None:
    found, said = run(source, "me/x")
    assert (found, sentence in said, writable_hub.log) == (code, True, []), said


def test_a_missing_file_of_a_folder_is_named(run: Run, weights: Path, writable_hub: Hub) -> None:
    (weights / "theirs" / "words.txt").unlink()
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "has no words.txt" in said, writable_hub.log) == (1, True, []), said


# The Hub's answers; what `space` and `publish` share is tested with `space`


def test_published_again_it_needs_force_and_the_first_pin_still_holds(
    run: Run, weights: Path, writable_hub: Hub
) -> None:
    first = pinned(run("reader/theirs", "me/theirs", "--private")[1])
    assert writable_hub.repos["me/theirs"].private
    (weights / "theirs" / "words.txt").write_text("three")
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "is on the Hub already" in said) == (1, True)
    second = pinned(run("reader/theirs", "me/theirs", "--force")[1])
    assert first.revision != second.revision
    assert [(fetch.fetch(pin) / "words.txt").read_text() for pin in (first, second)] == ["one two", "three"]
    same = pinned(run("reader/theirs", "me/theirs", "--force")[1])  # nothing is new: no commit
    assert same == second


@pytest.mark.parametrize("repo_id", ["theirs", "me/theirs/x", "me/th eirs"])
def test_an_invalid_repository_name_is_refused(repo_id: str, run: Run, weights: Path, writable_hub: Hub) -> None:
    code, said = run("reader/theirs", repo_id)
    assert (code, "write USER/NAME" in said, writable_hub.log) == (1, True, [])


def test_without_a_token_or_with_a_foreign_name_the_error_says_what_to_do(
    run: Run, weights: Path, writable_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run("reader/theirs", "someone/theirs")
    assert (code, "HF_TOKEN may not write to someone/theirs (403)" in said) == (1, True)
    monkeypatch.delenv("HF_TOKEN")
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "HF_TOKEN is not set" in said) == (1, True)


def test_an_upload_that_fails_ends_in_a_sentence_and_can_be_repeated(
    run: Run, weights: Path, writable_hub: Hub
) -> None:
    writable_hub.fault = lambda handler, method, path: (
        "/commit/" in path and bool(writable_hub.error(handler, 500) or True)
    )
    code, said = run("reader/theirs", "me/theirs")
    assert (code, "an error of its own (500)" in said, "--force" in said) == (1, True, True), said
    writable_hub.fault = None
    assert run("reader/theirs", "me/theirs", "--force")[0] == 0
    assert json.loads(writable_hub.repos["me/theirs"].files["config.json"]) == {"voice": 1}


def test_the_token_is_sent_to_the_hub_alone_and_not_stored(run: Run, writable_hub: Hub, tmp_path: Path) -> None:
    assert run("separable_conv/cifar10", "me/x", plugins_dir=ROOT / "plugins")[0] == 0
    shown = {r.headers["Host"] for r in writable_hub.log if TOKEN in r.headers.get("Authorization", "")}
    assert shown == {writable_hub.url.removeprefix("http://")}
    assert any(
        r.headers["Host"].startswith("localhost") for r in writable_hub.log
    )  # where the weights went, without it
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == []
