"""The network: teacher forcing, its cache, its beams, its masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from demo_app_translator.model import EncoderDecoder
from demo_app_translator.translator import Translator

from demo_app import DemoError

Networks = Callable[..., EncoderDecoder]
SOURCE = torch.tensor([[5, 6, 7, 8, 3], [9, 4, 3, 0, 0]])
MASK = SOURCE != 0
TARGET = torch.tensor([[2, 10, 11, 12], [2, 20, 21, 22]])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_cache_gives_what_the_whole_target_gives(network_of: Networks, norm: str) -> None:
    network = network_of(norm=norm)
    whole = network(SOURCE, MASK, TARGET).logits
    source, cache = network.encode(SOURCE, MASK), network.new_cache(2, 8)
    parts = [network.decode(part, source, cache).logits for part in TARGET.split((1, 2, 1), dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)


def test_padding_changes_nothing(network_of: Networks) -> None:
    network = network_of()
    alone = network(SOURCE[1:, :3], MASK[1:, :3], TARGET[1:]).logits
    torch.testing.assert_close(network(SOURCE, MASK, TARGET).logits[1:], alone, atol=1e-5, rtol=0)


def test_later_tokens_are_not_seen(network_of: Networks) -> None:
    network = network_of()
    changed = TARGET.clone()
    changed[:, 3] = 25
    before, after = network(SOURCE, MASK, TARGET).logits, network(SOURCE, MASK, changed).logits
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_every_source_token_sees_all_others_and_every_target_token_all_of_them(network_of: Networks) -> None:
    trace = network_of()(SOURCE, MASK, TARGET, trace=True).trace
    assert trace is not None
    for layer in trace.encoder:
        assert (layer[0] > 0).all()
        assert (layer[1, :, :, 3:] == 0).all(), "padding is looked at"
    for layer in trace.cross:
        assert layer.shape == (2, 2, 4, 5)
        torch.testing.assert_close(layer.sum(-1), torch.ones(2, 2, 4))
    for layer in trace.decoder:
        assert (layer.triu(1) == 0).all()


def test_beams_share_one_memory_as_if_it_were_copied(network_of: Networks) -> None:
    network = network_of()
    rows = TARGET.repeat_interleave(3, dim=0)
    rows[1, 2], rows[5, 1] = 15, 16
    shared = network.decode(rows, network.encode(SOURCE, MASK), trace=True)
    sources, masks = SOURCE.repeat_interleave(3, dim=0), MASK.repeat_interleave(3, dim=0)
    copied = network(sources, masks, rows, trace=True)
    torch.testing.assert_close(shared.logits, copied.logits, atol=1e-5, rtol=0)
    assert shared.trace is not None
    assert copied.trace is not None
    for ours, theirs in zip(shared.trace.cross, copied.trace.cross, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_cache_continues_with_the_selected_rows(network_of: Networks) -> None:
    network = network_of()
    source = network.encode(SOURCE[:1], MASK[:1])
    cache = network.new_cache(3, 8)
    begun = torch.tensor([[2, 10], [2, 11], [2, 12]])
    network.decode(begun, source, cache)
    order = torch.tensor([2, 2, 0])
    cache.select(order)
    following = torch.tensor([[7], [8], [9]])
    found = network.decode(following, source, cache).logits[:, -1]
    expected = network.decode(torch.cat((begun[order], following), dim=1), source).logits[:, -1]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_more_tokens_than_positions_are_refused(network_of: Networks) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        network_of()(torch.full((1, 33), 5), torch.ones(1, 33, dtype=torch.bool), TARGET[:1])


def test_a_saved_translator_loads_and_gives_the_same(tiny: Translator, tmp_path: Path) -> None:
    tiny.save(tmp_path / "saved")
    loaded = Translator.load(tmp_path / "saved", "cpu")
    half = [p.half().float() for p in tiny.network.state_dict().values()]
    for ours, theirs in zip(loaded.network.state_dict().values(), half, strict=True):
        assert torch.equal(ours, theirs)
    assert loaded.encode(["A big dog."])[0].tolist() == tiny.encode(["A big dog."])[0].tolist()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "source.json", "target.json"])
def test_a_damaged_file_is_named(tiny: Translator, tmp_path: Path, file: str) -> None:
    tiny.save(tmp_path / "saved")
    (tmp_path / "saved" / file).write_bytes(b"{nonsense")
    with pytest.raises(DemoError, match=file):
        Translator.load(tmp_path / "saved", "cpu")
