"""bfloat16 layers: accurate enough, sharing what they do not change, and never chosen if they are slower."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from demo_app.nn import precision, weights
from demo_app.nn.encoder import EncoderLayer


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return EncoderLayer(384, 6, 1536).eval().requires_grad_(False)


@torch.inference_mode()
def test_bfloat16_is_close_to_single_precision(network: nn.Module) -> None:
    x = torch.randn(2, 9, 384)
    expected, _ = network(x)
    found, _ = precision.to_bfloat16(network)(x)
    assert found.dtype == torch.float32
    error = (found - expected).abs().max() / expected.abs().max()
    assert 0 < error < 0.02


def test_all_tensors_but_large_linear_layers_are_shared(network: nn.Module) -> None:
    other = precision.to_bfloat16(network)
    assert other.ln_1.weight is network.ln_1.weight
    assert isinstance(other.feed_forward.fc_in, precision.BFloat16Linear)
    assert isinstance(network.feed_forward.fc_in, nn.Linear)
    small = precision.to_bfloat16(EncoderLayer(16, 2, 32))
    assert not any(isinstance(module, precision.BFloat16Linear) for module in small.modules())


def test_a_processor_without_bfloat16_keeps_single_precision(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: False)
    assert precision.fastest(network) == "fp32"


def test_bfloat16_is_chosen_only_if_clearly_faster(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: True)
    chosen = {}
    for name, bf16 in (("faster", 1.0), ("hardly", 9.0), ("slower", 20.0)):
        precision._faster.cache_clear()
        times = {nn.Linear: 10.0, precision.BFloat16Linear: bf16}
        monkeypatch.setattr(precision, "_milliseconds", lambda layer, x, times=times: times[type(layer)])
        chosen[name] = precision.fastest(network)
    precision._faster.cache_clear()
    assert chosen == {"faster": "bf16", "hardly": "fp32", "slower": "fp32"}


def test_what_torch_has_removed_is_not_chosen(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(linear: nn.Linear) -> nn.Module:
        raise NotImplementedError("removed in this version")

    monkeypatch.setattr(precision, "_has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "BFloat16Linear", gone)
    precision._faster.cache_clear()
    assert precision.fastest(network) == "fp32"
    precision._faster.cache_clear()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux supports it")
def test_an_offloaded_tensor_leaves_the_memory_and_keeps_its_values(tmp_path: Path) -> None:
    expected = torch.randn(8_000_000)
    torch.save({"mapped": expected}, tmp_path / "weights.bin")
    mapped = weights.read(tmp_path / "weights.bin")["mapped"]
    assert torch.equal(mapped, expected)
    before = resident()
    weights.offload(mapped)
    if filesystem(tmp_path) != "tmpfs":  # whose files are in memory
        assert before - resident() > 0.9 * mapped.nbytes
    weights.offload(expected)  # not mapped from a file: it stays
    assert torch.equal(mapped, expected)
    weights.offload(torch.ones(3))  # smaller than a page


def resident() -> int:
    """Bytes of memory that this process uses."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def filesystem(path: Path) -> str:
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()
