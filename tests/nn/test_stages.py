"""Stages: a frozen prefix computed once gives the same as computed each time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from demo_app.nn import EncoderLayer, stages
from demo_app.nn.stages import RemainingStages, Stage


class Reader(nn.Module):
    """Tokens in, class scores out; padding is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16, padding_idx=0)
        self.dropout = nn.Dropout(0.5)
        self.layers = nn.ModuleList(EncoderLayer(16, 2, 32, dropout=0.5) for _ in range(3))
        self.head = nn.Linear(16, 4)

    def stages(self) -> Sequence[Stage]:
        blocks = [Stage(self._with(layer), (layer,)) for layer in self.layers]
        return [Stage(self._embed, (self.embedding,)), *blocks, Stage(self._read, (self.head,))]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return RemainingStages(self, self.stages(), 0)(ids, mask)

    def _embed(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.dropout(self.embedding(ids)), mask

    def _with(self, layer: nn.Module):  # type: ignore[no-untyped-def]
        return lambda x, mask: (layer(x, mask[:, None, None])[0], mask)

    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.head((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def texts(count: int = 11) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 9, (count,), generator=generator).tolist()
    return [(torch.randint(1, 20, (n,), generator=generator), torch.ones(n, dtype=torch.bool)) for n in lengths]


def reader(frozen: int) -> Reader:
    torch.manual_seed(0)
    network = Reader()
    for stage in network.stages()[:frozen]:
        for module in stage.modules:
            module.requires_grad_(False)
    return network


@pytest.mark.parametrize("frozen", range(6))
def test_a_prefix_computed_once_is_a_prefix_computed_each_time_for_rows_of_any_length(frozen: int) -> None:
    network, rows = reader(frozen), texts()
    whole = network.stages()
    assert stages.count_frozen(whole) == frozen
    done = stages.run_stages(network, whole[:frozen], rows, batch_size=3)
    rest = RemainingStages(network.eval(), whole, frozen)
    for numbers in ([0, 1, 2, 3, 4], [7, 3, 10], [5]):  # batched differently than when they were computed
        alone = torch.cat([network(*(one[None] for one in rows[number])) for number in numbers])
        found = rest(*stages.collate([done[number] for number in numbers]))
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)
    assert all(not tensor.requires_grad for row in done for tensor in row)


def test_the_remaining_stages_get_the_gradients_of_the_whole_network() -> None:
    rows = texts()
    gradients = []
    for cached in (False, True):
        network = reader(3).eval()
        whole = network.stages()
        if cached:
            state = stages.collate(stages.run_stages(network, whole[:3], rows))
            out = RemainingStages(network, whole, 3)(*state)
        else:
            out = network(*stages.collate(rows))
        out.logsumexp(-1).sum().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert not any(name.startswith(("embedding", "layers.0", "layers.1")) for name in gradients[1])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4)


def test_a_sequential_is_a_list_of_stages_and_statistics_do_not_change() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 2))
    network[:2].requires_grad_(False)
    whole = stages.stages_of(network)
    assert (len(whole), stages.count_frozen(whole)) == (5, 4)
    pictures = [(torch.randn(3, 6, 6),) for _ in range(7)]
    before = network[1].running_mean.clone()
    done = stages.run_stages(network, whole[:4], pictures, batch_size=4)
    assert torch.equal(network[1].running_mean, before)
    assert all(module.training for module in network.modules())
    found = RemainingStages(network, whole, 4)(*stages.collate(done))
    torch.testing.assert_close(found, network.eval()(torch.stack([picture for (picture,) in pictures])))


def test_a_network_without_stages_is_one_stage() -> None:
    network = nn.Bilinear(3, 3, 2)
    (stage,) = stages.stages_of(network)
    assert stages.count_frozen([stage]) == 0
    rows = [(torch.randn(3), torch.randn(3)) for _ in range(4)]
    one, two = stages.collate(rows)
    assert torch.equal(RemainingStages(network, [stage], 0)(one, two), network(one, two))
    network.requires_grad_(False)
    assert stages.count_frozen([stage]) == 1
    (out,) = stages.run_stages(network, [stage], rows)[2]
    torch.testing.assert_close(out, network(*(tensor[None] for tensor in rows[2]))[0])


@pytest.mark.parametrize("fails", [False, True])
def test_each_module_keeps_its_mode(fails: bool) -> None:
    network = reader(2)
    network.layers[0].eval()
    before = [module.training for module in network.modules()]
    assert len(set(before)) == 2
    if fails:
        with pytest.raises(IndexError):
            stages.run_stages(network, network.stages()[:2], [(torch.tensor([99]), torch.tensor([True]))])
    else:
        stages.run_stages(network, network.stages()[:2], texts())
    assert [module.training for module in network.modules()] == before


def test_rows_of_similar_length_are_batched_each_once() -> None:
    rows = texts(20)
    drawn = list(stages.batches_by_length(rows, 6))
    assert sorted(number for batch in drawn for number in batch) == list(range(20))
    assert [len(batch) for batch in drawn] == [6, 6, 6, 2]
    lengths = [[len(rows[number][0]) for number in batch] for batch in drawn]
    assert all(max(one) <= min(two) for one, two in itertools.pairwise(lengths))


def test_rows_are_padded_with_zeros_and_false() -> None:
    ids, mask, classes = stages.collate(
        [
            (torch.tensor([5, 6, 7]), torch.ones(3, dtype=torch.bool), torch.tensor(1)),
            (torch.tensor([8]), torch.ones(1, dtype=torch.bool), torch.tensor(2)),
        ]
    )
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert classes.tolist() == [1, 2]


def test_a_prefix_can_be_computed_in_bfloat16() -> None:
    network = reader(3)
    rows = texts()
    exact, half = (stages.run_stages(network, network.stages()[:3], rows, bfloat16=on) for on in (False, True))
    torch.testing.assert_close(half[0][0].float(), exact[0][0], atol=0.1, rtol=0.1)
    assert not torch.equal(half[0][0].float(), exact[0][0])
