"""The network against torch.nn's encoder, its trace, and the checkpoint folder."""

# B batch, T tokens, H heads, D width, L layers

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from demo_app_text_classifier.classifier import Classifier, read_config
from demo_app_text_classifier.explain import look
from demo_app_text_classifier.model import Config, TextClassifier, pool
from demo_app_text_classifier.tokens import train_tokenizer
from torch import Tensor, nn

from demo_app import DemoError
from demo_app.nn import precision

SMALL = {"labels": ("bad", "good"), "vocab_size": 50, "max_tokens": 12, "width": 16, "heads": 2, "feed_forward": 24}
TEXTS = ["a good film", "a bad film , and a long one", "", "good"]


def batch() -> tuple[Tensor, Tensor]:
    """ids (3, 9) and mask (3, 9) with rows of 9, 5 and 1 tokens."""
    mask = torch.arange(9) < torch.tensor([9, 5, 1])[:, None]
    return torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(0)) * mask, mask


def network(**fields: object) -> TextClassifier:
    torch.manual_seed(0)
    return TextClassifier(Config(**{**SMALL, **fields})).eval()


@pytest.fixture
def classifier() -> Classifier:
    tokenizer = train_tokenizer(TEXTS * 3, "wordpiece", 50)
    torch.manual_seed(0)
    return Classifier(TextClassifier(Config(**{**SMALL, "vocab_size": tokenizer.get_vocab_size()})), tokenizer)


VARIANTS = [
    {},
    {"norm": "post", "embedding_norm": True, "head_hidden": True},  # as in DistilBERT
    {"positions": "sinusoidal", "pooling": "mean", "activation": "relu"},
    {
        "convolution": 3,
        "pooling": "mean_max",
        "final_norm": False,
        "head_hidden": True,
    },  # as in the embedded checkpoints
    {"convolution": 5, "pooling": "max", "positions": "none", "layers": 0},
]


@pytest.mark.parametrize("fields", VARIANTS)
def test_padding_and_other_texts_in_the_batch_change_no_logit(fields: dict[str, object]) -> None:
    model, (ids, mask) = network(**fields), batch()
    together = model(ids, mask).logits
    for row, tokens in enumerate((9, 5, 1)):
        alone = model(ids[row : row + 1, :tokens], mask[row : row + 1, :tokens]).logits
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fields", VARIANTS)
def test_the_trace_changes_no_logit_and_holds_every_layers_attention(fields: dict[str, object]) -> None:
    model, (ids, mask) = network(**fields), batch()
    traced, plain = model(ids, mask, trace=True), model(ids, mask)
    torch.testing.assert_close(traced.logits, plain.logits)
    assert plain.trace is None
    assert len(traced.trace.attention) == model.config.layers
    for attention in traced.trace.attention:
        assert attention.shape == (3, 2, 9, 9)
        torch.testing.assert_close(attention.sum(-1), torch.ones(3, 2, 9))
        assert attention[1, :, :, 5:].eq(0).all()  # padding gets no attention


def test_a_frozen_network_still_gives_gradients_of_its_embeddings() -> None:
    model, (ids, mask) = network().requires_grad_(False), batch()
    output = model(ids, mask, trace=True)
    (gradient,) = torch.autograd.grad(output.logits[:, 1].sum(), output.trace.embeddings)
    assert gradient.shape == (3, 9, 16)
    step = 1e-3 * gradient / gradient.norm()
    moved = model.token_embedding.weight[ids] + step
    with_moved = TextClassifier(model.config).eval()
    with_moved.load_state_dict(model.state_dict())
    with_moved.token_embedding = nn.Embedding.from_pretrained(moved.flatten(0, 1))
    rise = with_moved(torch.arange(27).view(3, 9), mask).logits[:, 1].sum() - output.logits[:, 1].sum()
    assert rise.item() == pytest.approx((gradient * step).sum().item(), rel=0.05)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_encoder_equals_torchs_transformer_encoder(norm: str) -> None:
    ours, (ids, mask) = network(norm=norm), batch()
    layer = nn.TransformerEncoderLayer(16, 2, 24, activation="gelu", batch_first=True, norm_first=norm == "pre")
    theirs = nn.TransformerEncoder(
        layer, 2, norm=nn.LayerNorm(16) if norm == "pre" else None, enable_nested_tensor=False
    ).eval()
    for mine, reference in zip(ours.layers, theirs.layers, strict=True):
        projections = [getattr(mine.attention, f"{name}_proj") for name in "qkv"]
        reference.self_attn.in_proj_weight.data = torch.cat([projection.weight.data for projection in projections])
        reference.self_attn.in_proj_bias.data = torch.cat([projection.bias.data for projection in projections])
        reference.self_attn.out_proj.load_state_dict(mine.attention.out_proj.state_dict())
        reference.norm1.load_state_dict(mine.ln_1.state_dict())
        reference.norm2.load_state_dict(mine.ln_2.state_dict())
        reference.linear1.load_state_dict(mine.feed_forward.fc_in.state_dict())
        reference.linear2.load_state_dict(mine.feed_forward.fc_out.state_dict())
    x = ours.token_embedding(ids) + ours.positions(9)
    first = theirs(x, src_key_padding_mask=~mask)[:, 0]
    torch.testing.assert_close(ours(ids, mask).logits, ours.head(first), atol=1e-5, rtol=1e-4)


def test_pooling_ignores_padding() -> None:
    x = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert pool(x, mask, "first").tolist() == [[1.0, -4.0]]
    assert pool(x, mask, "mean").tolist() == [[2.0, -3.0]]
    assert pool(x, mask, "max").tolist() == [[3.0, -2.0]]
    assert pool(x, mask, "mean_max").tolist() == [[2.0, -3.0, 3.0, -2.0]]


def test_invalid_settings_are_refused() -> None:
    for fields, sentence in (
        ({"pooling": "last"}, "choose one of: first, mean, max, mean_max"),
        ({"positions": "rotary"}, "choose one of: learned, sinusoidal, none"),
        ({"convolution": 4}, "must be odd"),
        ({"labels": ("only",)}, "at least two"),
        ({"heads": 3}, "cannot be shared out among 3 heads"),
    ):
        with pytest.raises(ValueError, match=sentence):
            network(**fields)
    with pytest.raises(ValueError, match="13 tokens do not fit 12 positions"):
        network()(torch.ones(1, 13, dtype=torch.int64), torch.ones(1, 13, dtype=torch.bool))


def test_a_saved_classifier_loads_in_half_precision(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path, "cpu")
    assert again.config == classifier.config == read_config(tmp_path / "config.json")
    assert again.network.head.weight.dtype == torch.float32
    for name, tensor in classifier.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor.half().float())
    torch.testing.assert_close(again.predict(TEXTS), classifier.predict(TEXTS), atol=2e-3, rtol=1e-2)


def test_prediction_keeps_the_order_whatever_the_lengths_and_batches(classifier: Classifier) -> None:
    texts = [" ".join(["good"] * (number % 7)) for number in range(20)]
    alone = torch.cat([classifier.predict([text]) for text in texts])
    torch.testing.assert_close(classifier.predict(texts, batch_size=3), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.sum(-1), torch.ones(20))
    assert classifier.predict([]).shape == (0, 2)


def test_prediction_uses_the_requested_or_the_fastest_precision(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "LARGE", 0)  # this network is small
    monkeypatch.setattr(precision, "fastest", lambda network: "bf16")
    expected = classifier.predict(TEXTS)  # on any processor: oneDNN emulates missing instructions
    assert classifier.quick is not classifier.network
    for asked, same in (("fp32", True), ("bf16", False)):
        monkeypatch.setenv("DEMO_APP_TEXT_CLASSIFIER_PRECISION", asked)
        other = Classifier(classifier.network, classifier.tokenizer)
        torch.testing.assert_close(other.predict(TEXTS), expected, atol=0.01, rtol=0)
        assert (other.quick is other.network) == same
    monkeypatch.setenv("DEMO_APP_TEXT_CLASSIFIER_PRECISION", "int4")
    with pytest.raises(DemoError, match="none of auto, fp32, bf16"):
        Classifier(classifier.network, classifier.tokenizer).predict(TEXTS)


def test_a_precision_that_moves_probabilities_too_far_is_not_used(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "LARGE", 0)
    monkeypatch.setattr(precision, "fastest", lambda network: "bf16")
    monkeypatch.setattr("demo_app_text_classifier.classifier.MAX_SHIFT", 0.0)
    classifier.predict(TEXTS)
    assert classifier.quick is classifier.network


def test_the_look_inside_stays_in_single_precision(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classifier, "quick", None)  # calling it fails
    assert look(classifier, ["a good film"])[0].length == 4


def test_offsets_point_into_the_original_text(classifier: Classifier) -> None:
    text = "A  GOOD film 😀 bad"
    encoded = classifier.encode([text])
    spans = [text[start:end] for start, end in encoded.offsets[0]]
    assert encoded.offsets[0][0] == (0, 0)
    assert encoded.tokens[0][0] == "[CLS]"
    assert "".join(spans) == text.replace(" ", "")
    assert encoded.truncated == [False]


def test_a_text_that_is_too_long_is_truncated_and_marked(classifier: Classifier) -> None:
    encoded = classifier.encode(["good " * 100_000, "good"])
    assert encoded.ids.shape == (2, 12)
    assert encoded.truncated == [True, False]
    assert encoded.mask.sum(1).tolist() == [12, 2]


@pytest.mark.parametrize(
    "text", ["", "   ", "😀🎉", "\x00\x07\x1b", "مرحبا بالعالم", "<script>alert(1)</script>", "\ud7ff"]
)
def test_odd_texts_get_finite_probabilities(classifier: Classifier, text: str) -> None:
    assert classifier.predict([text]).isfinite().all()


def test_threads_share_a_classifier(classifier: Classifier) -> None:
    expected = [classifier.predict([text]) for text in TEXTS]
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(20):
            which = (number + turn) % len(TEXTS)
            if not torch.equal(classifier.predict([TEXTS[which]]), expected[which]):
                wrong.append(TEXTS[which])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_or_damaged_file_is_one_clear_sentence(classifier: Classifier, tmp_path: Path, name: str) -> None:
    classifier.save(tmp_path)
    (tmp_path / name).write_bytes(b"{ not this")
    with pytest.raises(DemoError, match=f"{name} .* cannot be read; fetch or train"):
        Classifier.load(tmp_path, "cpu")
    (tmp_path / name).unlink()
    with pytest.raises(DemoError, match=f"{name} is missing"):
        Classifier.load(tmp_path, "cpu")


def test_weights_of_another_network_are_refused(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**fields, "layers": 3}), "utf-8")
    with pytest.raises(DemoError, match=r"does not fit its config\.json"):
        Classifier.load(tmp_path, "cpu")
