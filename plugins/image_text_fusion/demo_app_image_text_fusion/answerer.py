"""The network with its tokenizer and the preparation of pictures: what the plugin's `load` returns."""

# B batch, N questions, C answers, T tokens

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from demo_app.nn import precision, weights
from demo_app_image_text_fusion import preparing, published
from demo_app_image_text_fusion.model import Config, Fusion, Modality, Output, Pieces
from demo_app_image_text_fusion.texts import encode, silence

PRECISION = "DEMO_APP_IMAGE_TEXT_FUSION_PRECISION"


@dataclass(frozen=True)
class Words:
    """A question as the network reads it."""

    tokens: tuple[str, ...]  # with [CLS] and [SEP]
    truncated: bool  # the question was longer
    unknown: tuple[str, ...]  # words that the network has no vector for


class Answerer:
    """Answers questions about pictures. Its parameters are frozen, and threads may share it."""

    def __init__(
        self, network: Fusion, tokenizer: Tokenizer, *, precision: str = "fp32", parameters: int | None = None
    ) -> None:
        """`parameters`: their number before the network was converted to another precision."""
        self.network = network.eval().requires_grad_(False)
        self.precision = precision
        self.parameters = sum(p.numel() for p in network.parameters()) if parameters is None else parameters
        self.config = network.config
        self.labels = network.config.labels
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.text, self.image = (self._modality(kind) for kind in (("tokens",), ("patches", "stem")))

    def _modality(self, kinds: Sequence[str]) -> Modality:
        return next(modality for modality in self.config.modalities if modality.kind in kinds)

    @classmethod
    def load(cls, folder: Path, device: str, *, exact: bool = False) -> Answerer:
        """From config.json, weights and tokenizer.json, ours or ViLT's.

        The environment variable `PRECISION` sets the precision; `auto` is bfloat16 where this processor is faster with
        it, else single precision. With `exact` it is always single precision, with all parameters unfused, as training
        needs it. Raises `DemoError` for a file that is missing, damaged, or of another network.
        """
        fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
        file = next(
            (f for f in ("model.safetensors", "pytorch_model.bin") if (folder / f).is_file()), "model.safetensors"
        )
        tensors = weights.part(folder / file, weights.read)
        reader = published.config_of if published.is_published(fields) else config_of
        config = weights.part(folder / "config.json", lambda _: reader(fields))
        if published.is_published(fields):
            tensors = weights.part(folder / file, lambda _: published.renamed(tensors, config))
        tokenizer = weights.part(folder / "tokenizer.json", lambda path: Tokenizer.from_file(str(path)))
        with weights.empty_weights():
            network = Fusion(config)
        weights.fill(network, tensors, f"{file} in {folder.name}")
        network, parameters = network.to(device), sum(p.numel() for p in network.parameters())
        wanted = "fp32" if exact else precision.from_environment(PRECISION)
        network, got = precision.convert(network, precision.fastest(network) if wanted == "auto" else wanted)
        return cls(network, tokenizer, precision=got, parameters=parameters)

    def save(self, folder: Path) -> None:
        """Write the three files that `load` reads, the weights in half precision."""
        weights.save(folder, self.network, self.config)
        self.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    @property
    def device(self) -> torch.device:
        return self.network.final_norm.weight.device

    @property
    def at_least(self) -> int:
        """Pixels that the shorter side of a decoded picture should have."""
        return preparing.SHORTER if self.config.preparation == "vilt" else self.image.patch * self.image.places[0]

    def see(self, picture: Image.Image) -> Image.Image:
        """An RGB picture, resized to what the network reads."""
        if self.config.preparation == "vilt":
            return preparing.vilt(picture)
        return preparing.squared(picture, self.image.patch * self.image.places[0])

    @torch.inference_mode()
    def look(self, picture: Image.Image) -> Pieces:
        """The picture's pieces, which all questions about it share."""
        return self.network.extract(self.image.name, preparing.normalised(self.see(picture)).to(self.device))

    @torch.inference_mode()
    def listen(self, questions: Sequence[str]) -> Pieces:
        """The questions' pieces; questions longer than the network's positions are truncated."""
        ids, mask = encode(self.tokenizer, questions, self.text.places[0])
        return self.network.extract(self.text.name, ids.to(self.device), None if mask is None else mask.to(self.device))

    def words(self, question: str) -> Words:
        """The question's tokens as the network reads them, and which words it does not know."""
        encoding, most = self.tokenizer.encode(question), self.text.places[0]
        tokens, spans = encoding.tokens, encoding.offsets
        unknown = [question[start:end] for token, (start, end) in zip(tokens, spans, strict=True) if token == "[UNK]"]
        if len(tokens) > most:
            tokens = [*tokens[: most - 1], tokens[-1]]
        return Words(tuple(tokens), len(encoding.tokens) > most, tuple(unknown))

    @torch.inference_mode()
    def fuse(self, seen: Pieces | None, heard: Pieces | None, *, trace: bool = False) -> Output:
        """The network's output for both together; `None` for no picture (blind) or an empty question (deaf)."""
        if heard is None:
            heard = self.network.extract(self.text.name, silence(1).to(self.device))
        parts = {self.text.name: heard}
        if seen is not None:
            parts[self.image.name] = seen
        return self.network(parts, trace=trace)

    def ask(self, picture: Image.Image | None, questions: Sequence[str], batch_size: int = 16) -> Tensor:
        """Scores of all answers (N, C) on the CPU: probabilities, or for ViLT independent scores from 0 to 1."""
        seen = None if picture is None else self.look(picture)
        batches = (questions[at : at + batch_size] for at in range(0, len(questions), batch_size))
        return torch.cat([self.scores(self.fuse(seen, self.listen(batch)).logits).cpu() for batch in batches])

    def scores(self, logits: Tensor) -> Tensor:
        """Logits of any shape (..., C) to scores from 0 to 1."""
        return logits.sigmoid() if self.config.scores == "sigmoid" else logits.softmax(-1)


def config_of(fields: dict[str, object]) -> Config:
    """The `Config` in a config.json; raises `ValueError` or `TypeError` for a field that is wrong or unknown."""
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    modalities = tuple(Modality(**modality | {"places": tuple(modality["places"])}) for modality in lists["modalities"])  # type: ignore[attr-defined]
    return Config(**lists | {"modalities": modalities})  # type: ignore[arg-type]
