"""What visitors of the soak do: short stories over all tabs of the built-in demos, and two plugins that misbehave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from soak_pages import Upload

TEXT = "The plot is not very original, but the acting is wonderful."
DOG = "A small dog is jumping over a wooden fence."
GREEDY = {"temperature": 0, "max_tokens": 24, "seed": 1}
STEPS = {"temperature": 0, "seed": 1}
TRAIN = {"strategies": ["freeze"], "epochs": 1}
MEASURED = ("_cache", "_measure", "_measure_widths", "_finetune", "_finetune_result", "_finetune_try")  # times, chance
REPOSITORIES = 8  # of the demo that is on the Hub alone
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b'{"width": 8}', "model.safetensors": bytes(300_000)}

SIXTH = '''"""Raises in every tenth call, each time another kind of exception."""

import asyncio
import itertools

from demo_app import Demo, hookimpl

CALLS = itertools.count(1)


class Panic(BaseException):
    pass


KINDS = (RuntimeError, SystemExit, Panic, asyncio.CancelledError, GeneratorExit)


def build(handle):
    import gradio as gr

    def shout(text: str) -> str:
        """The text in capitals. Args: text: any. Returns: the same, louder."""
        number = next(CALLS)
        if number % 10 == 0:
            raise KINDS[number // 10 % len(KINDS)]("every tenth call")
        with handle.use() as upper:
            return upper(text)

    box, out = gr.Textbox(label="Text"), gr.Textbox(label="Louder")
    gr.Button("Shout").click(shout, box, out, api_name="shout")


@hookimpl
def register_demos():
    return [Demo(name="sixth", title="Sixth", summary="Fails.", load=lambda *_: str.upper, build=build, order=800)]
'''
FAR = f'''"""Its checkpoints are on the Hub alone."""

from demo_app import Checkpoint, Demo, hookimpl


def load(folder, device):
    return (folder / "config.json").read_text


def build(handle):
    import gradio as gr

    def read(checkpoint: str) -> str:
        """Its config. Args: checkpoint: which. Returns: JSON."""
        with handle.use(checkpoint) as model:
            return model()

    gr.Button("Read").click(read, handle.picker(), gr.Textbox(label="Config"), api_name="read")


@hookimpl
def register_demos():
    checkpoints = tuple(
        Checkpoint(
            name=f"far{{n}}", title=f"Far {{n}}", repo_id=f"some/model{{n}}", revision="{COMMIT}",
            files={tuple(FILES)!r}, size={sum(map(len, FILES.values()))},
        )
        for n in range({REPOSITORIES})
    )
    return [Demo(name="far", title="Far", summary="From afar.", load=load, build=build, checkpoints=checkpoints)]
'''


@dataclass(frozen=True, kw_only=True)
class Story:
    """Actions of one session, one after the other: (API name, what the visitor enters)."""

    name: str
    steps: tuple[tuple[str, dict[str, Any]], ...]
    weight: float = 1.0

    @property
    def trains(self) -> bool:
        return any(action.endswith("_finetune") for action, _ in self.steps)


def plugins(folder: Path, built_in: Path) -> Path:
    """A folder with the built-in plugins, the one that raises and the one whose checkpoints are on the Hub."""
    for path in built_in.iterdir():
        if (path / "pyproject.toml").is_file():
            (folder / path.name).symlink_to(path, target_is_directory=True)
    for name, code in (("sixth", SIXTH), ("far", FAR)):
        (folder / name).mkdir()
        (folder / name / f"soak_{name}.py").write_text(code)
        (folder / name / "pyproject.toml").write_text(
            f'[project]\nname = "soak-{name}"\nversion = "0"\nrequires-python = ">=3.11"\n'
            f'dependencies = ["demo-app"]\n[project.entry-points.demo_app]\n{name} = "soak_{name}"\n'
        )
    return folder


def made_files(folder: Path) -> dict[str, Path]:
    """What visitors upload."""
    (folder / "texts.csv").write_text("text\nA film to remember.\nDull from start to end.\nNot bad at all.\n")
    (folder / "questions.csv").write_text(
        "image,text\nred.png,what color is the square ?\nblue.png,is there a red circle ?\n"
    )
    for name in ("red", "blue"):
        picture = Image.new("RGB", (96, 96), "white")
        picture.paste(name, (20, 20, 70, 70))
        picture.save(folder / f"{name}.png")
    return {path.name: path for path in folder.iterdir()}


def stories(files: dict[str, Path]) -> list[Story]:
    """All stories but the fetches, which need a repository each."""
    red, blue = files["red.png"], files["blue.png"]
    one, both = Upload(files=(red,)), Upload(files=(red, blue), many=True)
    fusion = {"picture": one, "question": "what color is the square ?"}

    def story(name: str, *steps: tuple[str, dict[str, Any]], demo: str = "", weight: float = 1.0) -> Story:
        return Story(name=name, steps=tuple((demo + action, given) for action, given in steps), weight=weight)

    def tuning(demo: str, tried: dict[str, Any], weight: float = 1.0) -> Story:
        return story(
            f"fine-tune {demo}",
            ("_example", {}),
            ("_plan", TRAIN),
            ("", TRAIN),
            ("_result", {}),
            ("_try", tried),
            ("_zip", {}),
            demo=f"{demo}_finetune",
            weight=weight,
        )

    text, writer, fuse, conv, tra = (
        "text_classifier_", "decoder_generator_", "image_text_fusion_", "separable_conv_", "translator_",
    )  # fmt: skip
    return [
        story("classify", ("classify", {"text": TEXT}), ("colour", {"method": "attention"}),
              ("attention", {"layer": "1"}), demo=text, weight=2),
        story("emotion", ("classify", {"text": "I miss the old days.", "checkpoint": "emotion"}), demo=text),
        story("Chinese", ("classify", {"text": "房间很干净，下次还来。", "checkpoint": "zh_reviews"}), demo=text),
        story("example of a text", ("example", {"number": 1}), demo=text),
        story("two texts", ("compare", {}), ("occlude", {"text": TEXT}), demo=text),
        story("a file of texts", ("classify_file", {"file": Upload(files=(files["texts.csv"],))}), demo=text),
        story("write", ("generate", GREEDY), demo=writer, weight=2),
        story("write a poem", ("generate", GREEDY | {"checkpoint": "tang", "prompt": "山"}), demo=writer),
        story("step by step", ("start", STEPS), ("inside", {}), ("attention", {"layer": "1"}),
              ("take_likeliest", STEPS), ("candidates", STEPS), ("take_back", STEPS), demo=writer),
        story("surprise", ("surprise", {}), ("compare", GREEDY), demo=writer),
        story("the cache", ("cache", {}), demo=writer, weight=0.3),
        story("ask", ("ask", fusion), ("word", {"layer": "1"}), ("senses", fusion), demo=fuse, weight=2),
        story("example of a picture", ("example", {"number": 0}), demo=fuse),
        story("tags", ("tags", {"picture": one}), demo=fuse),
        story("a clip", ("video", {"count": 4}), demo=fuse, weight=0.3),
        story("a file of questions",
              ("answer_file", {"table": Upload(files=(files["questions.csv"],)), "files": both}), demo=fuse),
        story("look at a picture", ("classify", {"picture": one}), ("look", {}), ("filters", {}), ("mix", {}),
              ("twins", {}), demo=conv, weight=2),
        story("attend", ("classify", {"picture": one, "checkpoint": "cifar10_attention"}), ("attend", {}), demo=conv),
        story("example of a class", ("example", {"number": 0}), demo=conv),
        story("costs", ("count", {}), ("measure", {"channels": 32, "out": 32, "size": 14}), demo=conv, weight=0.5),
        story("many pictures", ("classify_files", {"files": both}), demo=conv),
        story("translate", ("translate", {"text": DOG}), ("look", {"layer": "1"}), ("force", {}), demo=tra, weight=2),
        story("translate to Chinese", ("translate", {"text": DOG, "checkpoint": "en_zh"}), demo=tra),
        story("example of a sentence", ("example", {"number": 1}), demo=tra),
        story("status", ("status", {}), weight=0.5),
        story("shout", ("shout", {"text": "hello"}), demo="sixth_", weight=4),
        tuning("text_classifier", {"text": TEXT}),
        tuning("separable_conv", {"picture": one}),
        tuning("image_text_fusion", {"picture": one, "text": "what color is the square ?"}, weight=0.1),
    ]  # fmt: skip


def fetches(number: int) -> Story:
    """A visitor fetches a checkpoint of the Hub and uses it."""
    name = {"checkpoint": f"far{number}"}
    return Story(name="fetch", steps=(("far_fetch", name), ("far_read", name)))


def measured(action: str) -> bool:
    """Whether the answer has times or chance in it, so that only its form can be expected."""
    return action.endswith(MEASURED) or action in {"status", "far_fetch"}
