"""A loaded translator: network and vocabularies. Text in, translations out."""

# N sentences, S source tokens, T target tokens

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from demo_app import InputError
from demo_app.nn import weights
from demo_app_translator import published
from demo_app_translator.model import Config, EncoderDecoder, Source, Trace
from demo_app_translator.search import Beam, Hypothesis, SearchStep, search
from demo_app_translator.tokens import Pieces, Vocabulary

LANGUAGES = {"en": "English", "de": "German", "fr": "French", "zh": "Chinese"}
BATCH = 64  # sentences per batch of `write`


class Translator:
    """The network and the vocabularies of its two languages. It has no state, so threads may share it."""

    def __init__(self, network: EncoderDecoder, source: Vocabulary, target: Vocabulary) -> None:
        self.network = network.eval()
        self.source = source
        self.target = target

    @property
    def config(self) -> Config:
        return self.network.config

    @classmethod
    def load(cls, folder: Path, device: str) -> Translator:
        """Load config.json, the weights and one tokenizer per language, ours or published ones.

        The weights are memory-mapped; half precision is converted to single. Raises `DemoError` if a file is missing,
        damaged, or belongs to another network.
        """
        fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
        whole = folder / "model.safetensors"
        tensors = weights.part(whole if whole.is_file() else folder / "pytorch_model.bin", weights.read)
        source: Vocabulary
        target: Vocabulary
        if published.is_published(fields):
            numbers = weights.part(folder / "vocab.json", lambda _: published.vocabulary_of(folder))
            config = weights.part(folder / "config.json", lambda _: published.config_of(fields, numbers))
            tensors = published.renamed(tensors)
            source, target = (
                weights.part(folder / f"{side}.spm", lambda path: published.SentencePieces(path, numbers))
                for side in ("source", "target")
            )
        else:
            lists = {"banned_ids": tuple(fields.get("banned_ids", ()))}
            config = weights.part(folder / "config.json", lambda _: Config(**fields | lists))
            source, target = (
                Pieces(weights.part(folder / f"{side}.json", lambda path: Tokenizer.from_file(str(path))))
                for side in ("source", "target")
            )
        with weights.empty_weights():
            network = EncoderDecoder(config)
        weights.fill(network, tensors, folder.name)
        return cls(network.to(device).requires_grad_(False), source, target)

    def save(self, folder: Path) -> None:
        """Write the files that `load` reads, in half precision. Published vocabularies cannot be saved."""
        assert isinstance(self.source, Pieces)
        assert isinstance(self.target, Pieces)
        weights.save(folder, self.network, self.config)
        self.source.tokenizer.save(str(folder / "source.json"), pretty=False)
        self.target.tokenizer.save(str(folder / "target.json"), pretty=False)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """ids (N, S) and mask (N, S) of sentences, each with its end; truncated to what the network reads."""
        room = self.config.max_tokens - 1
        rows = [torch.tensor([*self.source.encode(text)[:room], self.config.end_id]) for text in texts]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.config.pad_id)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        device = self.network.source_embedding.weight.device
        return ids.to(device), mask.to(device)

    def check(self, text: str) -> None:
        """Raise `InputError` if at least half of the text's tokens are unknown, as in a language of other letters."""
        ids = self.source.encode(text)
        if ids and 2 * sum(token == self.source.unknown for token in ids) >= len(ids):
            language = LANGUAGES.get(self.config.source, self.config.source)
            raise InputError(
                "This checkpoint reads {language}, and most of the text is in letters it does not know.",
                language=language,
            )

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> Source:
        """What the encoder makes of sentences."""
        return self.network.encode(*self.encode(texts))

    def steps(self, text: str, settings: Beam) -> Iterator[SearchStep]:
        """Translate one sentence, token by token."""
        yield from search(self.network, self.read([text]), 1, settings)

    def write(self, texts: Sequence[str], settings: Beam) -> list[Hypothesis]:
        """The best translation of each sentence. Sentences of similar length share a batch."""
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        found: dict[int, Hypothesis] = {}
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            *_, last = search(self.network, self.read([texts[n] for n in rows]), len(rows), settings)
            found |= dict(zip(rows, last.best, strict=True))
        return [found[n] for n in range(len(texts))]

    def translate(self, texts: Sequence[str], settings: Beam) -> list[str]:
        """The best translation of each sentence, as text."""
        return [self.text(hypothesis.ids) for hypothesis in self.write(texts, settings)]

    def text(self, ids: Sequence[int]) -> str:
        """The text of target ids, without the end."""
        return self.target.decode([token for token in ids if token != self.config.end_id])

    @torch.no_grad()
    def trace(self, text: str, ids: Sequence[int]) -> Trace:
        """The attention while `ids` was written as the translation of one sentence: T rows, one for each id."""
        target = torch.tensor([[self.config.start_id, *ids[:-1]]], device=self.network.source_embedding.weight.device)
        trace = self.network(*self.encode([text]), target, trace=True).trace
        assert trace is not None
        return trace
