"""The network and its tokenizer: what the plugin's `load` returns."""

# B batch, T tokens, C classes, N texts

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from demo_app.nn import precision, weights
from demo_app_text_classifier import published
from demo_app_text_classifier.model import Config, TextClassifier

log = logging.getLogger(__name__)

PAD = "[PAD]"
PRECISION = "DEMO_APP_TEXT_CLASSIFIER_PRECISION"
MAX_SHIFT = 0.01  # by which a faster precision may change a probability
CALIBRATION = (
    "A warm, funny and moving film.",
    "The plot is thin and the jokes are old.",
    "It is not bad, but I would not see it again.",
    "Shares fell on Monday after the bank cut its forecast for the year.",
    "The match ended two to one; the second goal came in the last minute.",
    "Meh.",
    "¿Quién lo habría pensado? Das war wirklich schön.",
    "房间很干净,服务员也热情,下次还会再来。",
)


@dataclass(frozen=True)
class Encoded:
    """Texts as the network reads them, padded to the longest."""

    ids: Tensor  # (B, T) int64
    mask: Tensor  # (B, T) bool, True = a token, False = padding
    tokens: list[list[str]]  # without padding
    offsets: list[list[tuple[int, int]]]  # span of each token in the text; (0, 0) for special tokens
    truncated: list[bool]  # the text has more than `config.max_tokens` tokens


class Classifier:
    """A text classifier that takes strings. Its parameters are frozen; threads may share it."""

    def __init__(self, network: TextClassifier, tokenizer: Tokenizer) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.labels = network.config.labels
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.config.max_tokens)
        self._pad_id = tokenizer.token_to_id(PAD) or 0
        self._quick: nn.Module | None = None  # made on first use

    @classmethod
    def load(cls, folder: Path, device: str) -> Classifier:
        """Load config.json, model.safetensors and tokenizer.json (or vocab.txt), ours or published ones.

        The weights are memory-mapped; half precision is converted to single. Raises `DemoError` if a file is missing,
        damaged, or belongs to another network.
        """
        fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
        tensors = weights.part(folder / "model.safetensors", weights.read)
        if published.is_published(fields):
            config = weights.part(folder / "config.json", lambda _: published.config_of(fields))
            tokenizer = weights.part(folder, published.tokenizer_of)
            tensors = published.renamed(tensors, fields["model_type"])
        else:
            config = weights.part(folder / "config.json", read_config)
            tokenizer = weights.part(folder / "tokenizer.json", lambda path: Tokenizer.from_file(str(path)))
        with weights.empty_weights():
            network = TextClassifier(config)
        weights.fill(network, tensors, f"model.safetensors in {folder.name}")
        return cls(network.to(device), tokenizer)

    def save(self, folder: Path) -> None:
        """Write the three files that `load` reads, with the weights in half precision."""
        weights.save(folder, self.network, self.config)
        self.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Tokenise the texts; tokens past `config.max_tokens` are dropped, as `truncated` tells."""
        encodings = self.tokenizer.encode_batch(list(texts))
        longest = max((len(encoding.ids) for encoding in encodings), default=0)
        ids = torch.full((len(encodings), longest), self._pad_id)  # (B, T)
        mask = torch.zeros(len(encodings), longest, dtype=torch.bool)  # (B, T)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = True
        device = next(self.network.parameters()).device
        return Encoded(
            ids.to(device),
            mask.to(device),
            tokens=[encoding.tokens for encoding in encodings],
            offsets=[encoding.offsets for encoding in encodings],
            truncated=[bool(encoding.overflowing) for encoding in encodings],
        )

    @torch.inference_mode()
    def predict(self, texts: Sequence[str], batch_size: int = 64) -> Tensor:
        """Probabilities (N, C) on the CPU, in the order of `texts`. Texts of similar length share a batch."""
        probabilities = torch.zeros(len(texts), len(self.labels))  # (N, C)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            encoded = self.encode([texts[row] for row in rows])
            probabilities[rows] = self.quick(encoded.ids, encoded.mask).logits.softmax(dim=-1).cpu()
        return probabilities

    @property
    def quick(self) -> nn.Module:
        """The network in the precision that is fastest on this processor; `self.network` itself if that is fp32.

        bfloat16 is not used if it changes a probability of `CALIBRATION` by more than `MAX_SHIFT`. That is a guard
        against networks that it does not suit, not a bound for every text. The environment variable `PRECISION`
        overrides the choice with fp32 or bf16.
        """
        if self._quick is None:
            wanted = precision.from_environment(PRECISION, ("auto", "fp32", "bf16"))
            chosen = precision.fastest(self.network) if wanted == "auto" else wanted
            quick, _ = precision.convert(self.network, chosen)
            if wanted == "auto" and quick is not self.network and (shift := self._largest_shift(quick)) > MAX_SHIFT:
                log.warning("bfloat16 moves probabilities by %.3f, so this network computes in single precision", shift)
                quick = self.network
            self._quick = quick
        return self._quick

    @torch.inference_mode()
    def _largest_shift(self, other: nn.Module) -> float:
        """The largest difference of a probability between the network and another, on `CALIBRATION`."""
        encoded = self.encode(CALIBRATION)
        a, b = (net(encoded.ids, encoded.mask).logits.softmax(dim=-1) for net in (self.network, other))  # (N, C)
        return float((a - b).abs().max())


def read_config(path: Path) -> Config:
    """The `Config` in a config.json. Raises `ValueError` or `TypeError` for a field that is wrong or unknown."""
    fields = json.loads(path.read_text("utf-8"))
    return Config(**{**fields, "labels": tuple(fields["labels"])})
