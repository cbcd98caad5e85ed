"""The fused network: any number of modalities, what each piece attends to, and no leaks from padding."""

# B batch, T pieces, D width

from __future__ import annotations

import pytest
import torch
from demo_app_image_text_fusion.model import Config, Fusion, Modality, Pieces
from torch import Tensor

TEXT = Modality(name="text", kind="tokens", inputs=30, places=(12,))
IMAGE = Modality(name="image", kind="patches", inputs=3, places=(4, 4), patch=8, extra=True)
STEM = Modality(name="image", kind="stem", inputs=3, places=(4, 4), patch=8)
AUDIO = Modality(name="audio", kind="vectors", inputs=5, places=(20,), norm=True)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def network(*modalities: Modality, **options: object) -> Fusion:
    config = Config(
        labels=("a", "b", "c"), modalities=modalities, width=16, heads=2, layers=2, feed_forward=32, **options
    )
    return Fusion(config).eval().requires_grad_(False)


def raw(modality: Modality, batch: int = 2) -> Tensor:
    if modality.kind == "tokens":
        return torch.randint(modality.inputs, (batch, 7))
    return torch.randn(batch, 3, 32, 32) if modality.pictures else torch.randn(batch, 9, 5)


CHOICES = {
    "text and patches": (TEXT, IMAGE),
    "text and a stem": (TEXT, STEM),
    "three": (TEXT, IMAGE, AUDIO),
    "image and audio": (STEM, AUDIO),
    "audio alone": (AUDIO,),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_any_number_of_modalities_is_read_by_one_encoder(choice: str) -> None:
    modalities = CHOICES[choice]
    net = network(*modalities, pointing=("about",))
    parts = {m.name: net.extract(m.name, raw(m)) for m in modalities}
    output = net(parts, trace=True)
    assert output.logits.shape == (2, 3)
    assert output.trace is not None
    pieces = sum(len(part.x[0]) for part in parts.values())
    for attention in output.trace.attention:
        assert attention.shape == (2, 2, pieces, pieces)
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 2, pieces))
    assert [output.trace.spans[m.name] for m in modalities][-1].stop == pieces
    assert {name: points.shape for name, points in output.points.items()} == {
        m.name: (2, 16, 1) for m in modalities if m.pictures
    }
    torch.testing.assert_close(net(parts).logits, output.logits)  # with and without trace


def test_every_modality_can_change_the_answer() -> None:
    modalities = CHOICES["three"]
    net = network(*modalities)
    parts = {m.name: net.extract(m.name, raw(m)) for m in modalities}
    before = net(parts).logits
    for m in modalities:
        other = raw(m) if m.kind != "tokens" else (raw(m) + 1) % m.inputs
        assert not torch.allclose(net(parts | {m.name: net.extract(m.name, other)}).logits, before)


def test_a_modality_may_be_left_out() -> None:
    net = network(TEXT, IMAGE)
    text, image = (net.extract(m.name, raw(m)) for m in (TEXT, IMAGE))
    both, blind, deaf = (
        net(parts).logits for parts in ({"text": text, "image": image}, {"text": text}, {"image": image})
    )
    assert both.shape == blind.shape == deaf.shape == (2, 3)
    assert not torch.allclose(both, blind)
    assert not torch.allclose(both, deaf)


def test_padding_changes_nothing() -> None:
    net = network(TEXT, IMAGE)
    ids, image = raw(TEXT), net.extract("image", raw(IMAGE))
    padded = torch.cat((ids, torch.randint(30, (2, 4))), dim=1)
    mask = torch.arange(11).expand(2, -1) < 7
    expected = net({"text": net.extract("text", ids), "image": image}).logits
    found = net({"text": net.extract("text", padded, mask), "image": image}, trace=True)
    torch.testing.assert_close(found.logits, expected)
    assert found.trace is not None
    assert all((attention[..., 7:11] == 0).all() for attention in found.trace.attention)


def test_one_picture_serves_many_questions() -> None:
    net = network(TEXT, IMAGE)
    image = net.extract("image", raw(IMAGE, 1))
    text = net.extract("text", raw(TEXT, 5))
    found = net({"text": text, "image": image}).logits
    one_by_one = [net({"text": Pieces(text.x[i : i + 1]), "image": image}).logits for i in range(5)]
    torch.testing.assert_close(found, torch.cat(one_by_one))


def test_patches_are_one_linear_map_of_their_pixels() -> None:
    net = network(TEXT, IMAGE)
    x = raw(IMAGE, 1)
    extractor = net.extractors["image"]
    found = net.extract("image", x)
    assert found.grid == (4, 4)
    pixels = x[0, :, 8:16, 16:24].flatten()  # row 1, column 2
    expected = extractor.embed.weight.flatten(1) @ pixels + extractor.embed.bias
    expected = expected + extractor.positions[1, 2] + extractor.kind
    torch.testing.assert_close(found.x[0, 1 + 4 + 2], expected)  # after the extra vector


def test_pictures_of_other_sizes_get_places_between_the_learned_ones() -> None:
    net = network(TEXT, IMAGE)
    extractor = net.extractors["image"]
    assert net.extract("image", torch.randn(1, 3, 24, 56)).grid == (3, 7)
    corners = extractor.places(21, (3, 7)).unflatten(0, (3, 7))
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(corners[row, column], extractor.positions[row, column])
    torch.testing.assert_close(extractor.places(16, (4, 4)), extractor.positions.flatten(0, 1))


def test_too_long_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="shorten the input"):
        network(TEXT).extract("text", torch.zeros(1, 13, dtype=torch.int64))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"modalities": ()}, "at least one"),
        ({"modalities": (TEXT, TEXT)}, "a name of its own"),
        ({"head": "deep"}, "choose one of"),
        ({"scores": "none"}, "choose one of"),
        ({"preparation": "none"}, "choose one of"),
    ],
)
def test_a_config_that_cannot_be_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Config(**{"labels": ("a",), "modalities": (TEXT,)} | change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "smells"}, "choose one of"),
        ({"places": (3,)}, "h, w"),
        ({"patch": 0}, "at least 1"),
        ({"kind": "stem", "patch": 6}, "power of two"),
    ],
)
def test_a_modality_that_cannot_be_is_refused(change: dict[str, object], sentence: str) -> None:
    fields = {"name": "image", "kind": "patches", "inputs": 3, "places": (4, 4), "patch": 8}
    with pytest.raises(ValueError, match=sentence):
        Modality(**fields | change)
