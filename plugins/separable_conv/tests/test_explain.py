"""Drawings show what the network computed."""

# C channels, H x W places

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from demo_app_separable_conv import explain
from demo_app_separable_conv.classifier import Classifier, views_of
from demo_app_separable_conv.example import compute, example
from demo_app_separable_conv.lessons import lessons
from demo_app_separable_conv.seen import SHOWN
from PIL import Image

from demo_app import InputError
from demo_app.inputs.pictures import open_picture

KINDS = ("separable", "linear", "dense", "inverted", "attention")
Make = Callable[[str], Classifier]


def noise(seed: int = 0, size: tuple[int, int] = (40, 32)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def pixels(seed: int = 0) -> np.ndarray:
    return np.asarray(noise(seed, (32, 32)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_gives_the_networks_probabilities(make: Make, kind: str) -> None:
    classifier = make(kind)
    seen = explain.look(classifier, noise(), checkpoint="tiny")
    with torch.no_grad():
        expected = classifier.network(classifier.prepare([noise()])).logits[0].softmax(-1)
    np.testing.assert_allclose(seen.probabilities, expected, atol=1e-5)
    assert seen.answer == classifier.labels[int(expected.argmax())]
    assert [name for name, _ in seen.best(2)] == [classifier.labels[i] for i in expected.argsort(descending=True)[:2]]
    assert seen.pixels.shape == (32, 32, 3)
    assert seen.picture.shape == (32, 32, 3)
    assert seen.shown().picture.shape == (SHOWN, SHOWN, 3)
    assert seen.parameters == sum(p.numel() for p in classifier.network.parameters())


def test_where_the_config_says_so_it_looks_at_the_mirror_image_and_aside(make: Make) -> None:
    network = make("separable").network
    network.config = replace(network.config, mirror=True)
    classifier = Classifier(network)
    pictures = [noise(seed) for seed in range(3)]
    x = classifier.prepare(pictures)
    with torch.no_grad():
        expected = (network(x).logits + network(x.flip(-1)).logits) / 2
    torch.testing.assert_close(classifier.logits(x), expected, atol=1e-4, rtol=0)
    flipped = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pictures]
    torch.testing.assert_close(classifier.predict(pictures), classifier.predict(flipped), atol=1e-4, rtol=0)
    network.config = replace(network.config, shift=1)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    with torch.no_grad():
        aside = network(padded[..., :-2, :-2]).logits + network(padded[..., 2:, 2:].flip(-1)).logits
    torch.testing.assert_close(Classifier(network).logits(x), (expected + aside / 2) / 2, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_config_says_how_often_it_looks(make: Make, mirror: bool, shift: int) -> None:
    config = replace(make("separable").config, mirror=mirror, shift=shift)
    x = torch.rand(2, 3, 32, 32)
    assert len(views_of(x, config)) == config.views * len(x)


def test_what_is_shown_is_the_part_that_was_seen(make: Make) -> None:
    """A picture that is red at the left, green in its middle square, and blue at the right."""
    colours = np.zeros((64, 192, 3), dtype=np.uint8)
    for third in range(3):
        colours[:, 64 * third : 64 * (third + 1), third] = 255
    seen = explain.look(make("separable"), Image.fromarray(colours))
    for array in (seen.pixels, seen.picture, seen.shown().picture):
        margin = array.shape[0] // 16
        assert (array[:, margin:-margin] == (0, 255, 0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_grad_cam_is_the_papers_sum_at_every_block(make: Make, kind: str) -> None:
    """Against gradients taken by finite differences of each channel's mean."""
    network, label = make(kind).network.double(), 1
    x = torch.tensor(pixels()).permute(2, 0, 1)[None].double() / 255
    for block in range(len(explain.blocks(network))):
        found = explain.grad_cam(network, x, label, block)
        expected = slowly(network, x, label, block)
        np.testing.assert_allclose(found, expected, atol=2e-4)
        assert found.max() == pytest.approx(1) or not found.any()


def slowly(network: torch.nn.Module, x: torch.Tensor, label: int, block: int) -> np.ndarray:
    chosen, steps, rest = explain.blocks(network)[block], list(network.steps()), []
    with torch.no_grad():
        at = next(i for i, step in enumerate(steps) if step is chosen)
        for step in steps[: at + 1]:
            x = explain.through(step, x)
        rest = steps[at + 1 :]

        def score(features: torch.Tensor) -> float:
            for step in rest:
                features = explain.through(step, features)
            return float(network.classifier(features.mean(dim=(2, 3)))[0, label])

        weights, small = [], 1e-7
        for channel in range(x.shape[1]):
            higher, lower = x.clone(), x.clone()
            higher[:, channel] += small
            lower[:, channel] -= small
            weights.append((score(higher) - score(lower)) / (2 * small))
        map_ = (torch.tensor(weights)[:, None, None] * x[0]).sum(dim=0).clamp(min=0)
    return (map_ / map_.max().clamp(min=1e-12)).numpy()


def test_grad_cam_leaves_the_network_as_it_was(make: Make) -> None:
    network = make("separable").network
    x = torch.randn(1, 3, 32, 32)
    explain.grad_cam(network, x, 0, 0)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("kind", ["separable", "linear", "inverted", "attention"])
def test_every_sum_is_what_the_network_computed(make: Make, kind: str) -> None:
    classifier = make(kind)
    x = classifier.read(pixels())
    with torch.no_grad():
        trace = classifier.network(x, trace=True).trace
    for number, block in enumerate(explain.blocks(classifier.network)):
        inside = explain.look_inside(classifier.network, x, number)
        assert inside is not None
        with torch.no_grad():  # the network's own last convolution and BatchNorm
            expected = block.units()[-1].bn(trace.convolved[number][-1])[0]
        np.testing.assert_allclose(inside.mixed, expected, atol=1e-4)
        for channel in range(len(inside.mixed)):
            for place in ((None, None), (0, 0), (1, 2)):
                written = explain.write_out(inside, channel, *place)
                assert written.total == pytest.approx(float(expected[channel, written.row, written.column]), abs=1e-4)
                assert written.network == pytest.approx(written.total, abs=1e-4)
                assert float(written.products.sum()) + written.shift == pytest.approx(written.total, abs=1e-4)
                assert sorted(written.order) == list(range(inside.filtered.shape[0]))
                assert (np.diff(np.abs(written.products)) <= 1e-7).all()  # the strongest first


def test_filtered_is_the_folded_filter_over_the_blocks_input(make: Make) -> None:
    """Without an activation in between, the filters reproduce the filtered picture up to the shift."""
    classifier = make("linear")
    x = classifier.read(pixels())
    inside = explain.look_inside(classifier.network, x, 1)
    assert inside is not None
    with torch.no_grad():
        given = classifier.network(x, trace=True).trace.inputs[1]
        filters = torch.from_numpy(inside.filters)[:, None]
        found = torch.nn.functional.conv2d(given, filters, padding=1, groups=len(filters))[0].numpy()
    shift = (inside.filtered - found).reshape(len(filters), -1)
    np.testing.assert_allclose(shift, shift[:, :1].repeat(shift.shape[1], 1), atol=1e-4)


def test_a_standard_convolution_has_no_halves(make: Make) -> None:
    classifier = make("dense")
    assert explain.look_inside(classifier.network, classifier.read(pixels()), 0) is None


def test_attention_is_what_the_network_used(make: Make) -> None:
    classifier = make("attention")
    x = classifier.read(pixels())
    weights = explain.attention_of(classifier.network, x)
    with torch.no_grad():
        expected = classifier.network(x, trace=True).trace.attention[0]
    np.testing.assert_allclose(weights.reshape(expected.shape), expected, atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=(2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize("number", ["0", "4", "-1", "x", "", "1.5", "²"])
def test_a_block_that_is_not_there_is_named(make: Make, number: str) -> None:
    with pytest.raises(InputError, match="choose one from 1 to 3"):
        explain.index_of(number, make("separable").network)


@pytest.mark.parametrize("place", [(99, None, None), (-1, None, None), (0, 99, 0), (0, 0, -1)])
def test_a_place_that_is_not_there_is_named(make: Make, place: tuple[int, int | None, int | None]) -> None:
    classifier = make("separable")
    inside = explain.look_inside(classifier.network, classifier.read(pixels()), 0)
    assert inside is not None
    with pytest.raises(InputError, match=r"There is no (channel|row|column)"):
        explain.write_out(inside, *place)


def test_without_attention_it_says_what_to_choose(make: Make) -> None:
    classifier = make("separable")
    with pytest.raises(InputError, match="has no attention"):
        explain.attention_of(classifier.network, classifier.read(pixels()))


def test_the_page_opens_with_what_the_model_says_today() -> None:
    stored, now = example(), compute()
    np.testing.assert_allclose(stored.seen.probabilities, now.seen.probabilities, atol=1e-4)
    np.testing.assert_array_equal(stored.seen.pixels, now.seen.pixels)
    np.testing.assert_array_equal(stored.seen.picture, now.seen.picture)
    np.testing.assert_allclose(stored.cam, now.cam, atol=1e-3)
    np.testing.assert_allclose(stored.inside.mixed, now.inside.mixed, atol=1e-3)
    assert stored.blocks == now.blocks
    assert stored.seen.labels == now.seen.labels


def test_the_embedded_network_knows_what_the_examples_show(embedded: Classifier) -> None:
    pictures = {lesson.title: open_picture(lesson.path, at_least=embedded.at_least) for lesson in lessons()}
    assert len(pictures) == 6
    (cat, _), (horse, _) = embedded.best([pictures["Cat"], pictures["Horse"]])
    assert (cat, horse) == ("cat", "horse")
