"""The network and its tokenizer, together: what the plugin's `load` returns, and what `train.py` saves."""

# B rows, T tokens, V vocabulary

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from demo_app import DemoError
from demo_app.nn import weights
from demo_app_decoder_generator.model import Config, Decoder

V = TypeVar("V")


class Writer:
    """A decoder that reads and writes text. Its parameters are frozen; threads may share it."""

    def __init__(self, network: Decoder, tokenizer: Tokenizer) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path, device: str) -> Writer:
        """From config.json, model.safetensors (half precision, computed with in single) and tokenizer.json.

        Raises `DemoError` when a file is missing, damaged, or belongs to another network.
        """
        config = _read(folder / "config.json", read_config)
        tokenizer = _read(folder / "tokenizer.json", lambda path: Tokenizer.from_file(str(path)))
        tensors = _read(folder / "model.safetensors", weights.read)
        with torch.device("meta"):  # no memory and no random numbers for what is replaced at once
            network = Decoder(config)
        weights.fill(network, tensors, f"model.safetensors in {folder.name}")
        return cls(network.to(device), tokenizer)

    def save(self, folder: Path) -> None:
        """Write the three files that `load` reads; weights in half precision."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.half().contiguous().cpu() for name, tensor in self.network.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")
        (folder / "model.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone
        text = json.dumps(asdict(self.config), indent=2, ensure_ascii=False) + "\n"
        (folder / "config.json").write_text(text, "utf-8")
        self.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    @torch.inference_mode()
    def surprise(self, ids: Sequence[int], *, stride: int | None = None, batch_size: int = 16) -> Tensor:
        """Nats of each token after the first, (T - 1,): minus the logarithm of the probability the network gave it.

        Where the text is longer than the context a window slides over it, by `stride` tokens (none: a quarter of the
        context), and each token is scored by the window in which it has most before it.
        """
        context = self.config.context
        stride = stride or max(1, context // 4)
        device = self.network.token_embedding.weight.device
        row = torch.tensor(ids, device=device)
        last = len(ids) - 1  # targets
        starts = [0, *range(stride, max(1, last - context + stride), stride)]
        nats = torch.zeros(last)
        for chunk in (starts[i : i + batch_size] for i in range(0, len(starts), batch_size)):
            whole = [start for start in chunk if start + context <= last]
            for group in (whole, *([start] for start in chunk if start not in whole)):
                if not group:
                    continue
                length = min(context, last - group[0])
                windows = torch.stack([row[start : start + length + 1] for start in group])  # (B, T + 1)
                logits = self.network(windows[:, :-1]).logits.float()  # (B, T, V)
                said = torch.nn.functional.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none")
                for start, scores in zip(group, said.cpu(), strict=True):
                    new = 0 if start == 0 else context - stride
                    nats[start + new : start + length] = scores[new:]
        return nats


def read_config(path: Path) -> Config:
    """The `Config` in a config.json; raises `ValueError` or `TypeError` for a field that is wrong or unknown."""
    fields = json.loads(path.read_text("utf-8"))
    return Config(**{**fields, "stop_ids": tuple(fields.get("stop_ids", ()))})


def _read(path: Path, reader: Callable[[Path], V]) -> V:
    if not path.is_file():
        raise DemoError(f"{path.name} is missing in {path.parent}; fetch or train the checkpoint again.")
    try:
        return reader(path)
    except Exception as error:  # json, safetensors and tokenizers each raise their own, tokenizers a bare Exception
        raise DemoError(
            f"{path.name} in {path.parent.name} cannot be read; fetch or train the checkpoint again."
        ) from error
