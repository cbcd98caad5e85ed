"""Dropout from random bytes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from demo_app.nn import EncoderLayer
from demo_app.nn.dropout import ByteDropout, use_byte_dropout


def test_byte_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = ByteDropout(0.25)
    x = torch.ones(1001, 103)
    out = dropout(x)
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert out.unique().tolist() == pytest.approx([0, 256 / 192])
    assert torch.equal(dropout.eval()(x), x)
    assert torch.equal(ByteDropout(0.0)(x), x)


def test_all_dropout_of_a_network_is_replaced_and_evaluation_stays_the_same() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(16, 2, 32, dropout=0.1).eval()
    x, mask = torch.randn(2, 5, 16), torch.ones(2, 1, 1, 5, dtype=torch.bool)
    before = layer(x, mask)[0]
    use_byte_dropout(layer)
    assert not any(isinstance(module, nn.Dropout) for module in layer.modules())
    assert sum(isinstance(module, ByteDropout) for module in layer.modules()) > 0
    assert layer.attention.dropout == 0.0
    torch.testing.assert_close(layer(x, mask)[0], before)
