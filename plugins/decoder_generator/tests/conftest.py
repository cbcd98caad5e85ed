"""Tiny decoders with random weights and real tokenizers, in folders as the embedded and the published ones are."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo_app.machine import prepare_environment

if TYPE_CHECKING:
    from demo_app_decoder_generator.writer import Writer

prepare_environment()
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")

LINES = "ROMEO:\nWhat light is this?\n\nJULIET:\nO night, be kind to us!\n<script>alert(1)</script>\n"
PLUGIN = """
import demo_app
from pathlib import Path
from demo_app_decoder_generator import build, load

@demo_app.hookimpl
def register_demos():
    folders = {folders!r}
    checkpoints = tuple(demo_app.Checkpoint(name=n, title=n, folder=Path(f)) for n, f in folders.items())
    name = "decoder_generator"
    return [demo_app.Demo(name=name, title="T", summary="S", load=load, build=build, checkpoints=checkpoints)]
"""
PYPROJECT = """
[project]
name = "tiny-generator"
version = "1"
requires-python = ">=3.11"
dependencies = ["demo-app"]
[project.entry-points.demo_app]
decoder_generator = "tiny_generator_plugin"
"""
POEMS = ("床前明月光，疑是地上霜。举头望明月，低头思故乡。", "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A character model of English lines, whose context is 64."""
    from demo_app_decoder_generator.texts import character_tokenizer

    return _save(tmp_path_factory.mktemp("checkpoint") / "letters", character_tokenizer([LINES]), context=64)


@pytest.fixture(scope="session")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A character model of poems."""
    from demo_app_decoder_generator.texts import EOS, SPECIAL, character_tokenizer

    tokenizer = character_tokenizer([*POEMS, "春夜"], special=SPECIAL)
    return _save(tmp_path_factory.mktemp("checkpoint") / "poems", tokenizer, stop=EOS)


@pytest.fixture(scope="session")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama as it is published, with byte pairs and a chat template."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [LINES], trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    width, inner, vocabulary = 24, 32, tokenizer.get_vocab_size()
    config = {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "max_position_embeddings": 96,
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": inner,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for layer in range(2):
        name = f"model.layers.{layer}."
        shapes |= {name + f"{norm}_layernorm.weight": (width,) for norm in ("input", "post_attention")}
        shapes |= {name + f"self_attn.{part}_proj.weight": (width, width) for part in "qo"}
        shapes |= {name + f"self_attn.{part}_proj.weight": (width // 2, width) for part in "kv"}
        shapes |= {name + f"mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        shapes |= {name + "mlp.down_proj.weight": (width, inner)}
    folder = tmp_path_factory.mktemp("checkpoint") / "chatty"
    folder.mkdir()
    save_file({name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def wait_until_idle() -> Callable[[Writer], None]:
    """Waits until a decode loop has nothing to do."""

    def wait(writer: Writer) -> None:
        deadline = time.monotonic() + 20
        while writer.engine.busy and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not writer.engine.busy

    return wait


@pytest.fixture(scope="session")
def writer(letters: Path) -> Writer:
    from demo_app_decoder_generator.writer import Writer

    return Writer.load(letters, "cpu")


@pytest.fixture(scope="session")
def plugin_dir(letters: Path, poems: Path, chatty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin with this one's tab, and tiny models under the names of its own."""
    plugin = tmp_path_factory.mktemp("plugins") / "tiny"
    plugin.mkdir()
    folders = {"shakespeare": str(letters), "tang": str(poems), "smollm2": str(chatty)}
    (plugin / "pyproject.toml").write_text(PYPROJECT)
    (plugin / "tiny_generator_plugin.py").write_text(PLUGIN.replace("{folders!r}", repr(folders)))
    return plugin


def _save(folder: Path, tokenizer: object, *, context: int = 128, stop: str | None = None) -> Path:
    import torch
    from demo_app_decoder_generator.model import Config, Decoder
    from demo_app_decoder_generator.writer import Writer

    torch.manual_seed(0)
    config = Config(
        vocab_size=tokenizer.get_vocab_size(),  # type: ignore[attr-defined]
        context=context,
        width=16,
        layers=2,
        heads=4,
        feed_forward=32,
        stop_ids=() if stop is None else (tokenizer.token_to_id(stop),),  # type: ignore[attr-defined]
    )
    network = Decoder(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    Writer(network, tokenizer).save(folder)  # type: ignore[arg-type]
    return folder
