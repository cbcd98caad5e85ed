"""The network with its tokenizer and its decode loop: what the plugin's `load` returns and `train.py` saves."""

# B rows, T tokens, V vocabulary

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo_app import DemoError
from demo_app.nn import int8, precision, weights
from demo_app_decoder_generator import chat, published
from demo_app_decoder_generator.engine import Engine
from demo_app_decoder_generator.model import Config, Decoder
from demo_app_decoder_generator.texts import ENDS, FORMS, PAD, UNKNOWN
from demo_app_decoder_generator.texts import prompt as poem_prompt

SENTENCES = re.compile("([。！？；]+)(?!\n)")
Kind = Literal["text", "poems", "chat"]
PRECISION = "DEMO_APP_DECODER_GENERATOR_PRECISION"
ROWS = 8  # texts that are written at a time
WAITING = 24  # others that may wait for a row


class Writer:
    """A decoder that reads and writes text. Its parameters are frozen; threads may share it."""

    def __init__(
        self,
        network: Decoder,
        tokenizer: Tokenizer,
        *,
        template: str | None = None,
        precision: str = "fp32",
        parameters: int | None = None,
    ) -> None:
        """`template` renders a conversation for a chat model; `precision` and `parameters` are only reported."""
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.tokenizer = tokenizer
        self.missing: int | None = tokenizer.token_to_id(UNKNOWN)  # the token for unknown characters, if there is one
        self.template = template
        self.precision = precision
        self.parameters = parameters or sum(p.numel() for p in network.parameters())
        self.engine = self.new_engine()

    def new_engine(self, *, rows: int = ROWS, waiting: int = WAITING) -> Engine:
        """A decode loop that never writes the tokens for padding and for unknown characters."""
        never = (self.tokenizer.token_to_id(PAD), self.missing)
        return Engine(self.network, rows=rows, waiting=waiting, never=[i for i in never if i is not None])

    @property
    def kind(self) -> Kind:
        """What it writes: the continuation of a text, a poem of a given form, or an answer in a conversation."""
        if self.template is not None:
            return "chat"
        return "poems" if self.tokenizer.token_to_id(FORMS[5]) is not None else "text"

    @classmethod
    def load(cls, folder: Path, device: str) -> Writer:
        """From config.json, model.safetensors, tokenizer.json (or vocab.json and merges.txt), ours or published ones.

        Weights in single precision are mapped from disk without a copy; those in half precision are widened. Raises
        `DemoError` if a file is missing, damaged, or belongs to another network.
        """
        fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
        tensors = weights.part(folder / "model.safetensors", weights.read)
        template = None
        if published.is_published(fields):
            config = weights.part(folder / "config.json", lambda _: published.config_of(fields))
            tokenizer = weights.part(folder, published.tokenizer_of)
            tensors = published.renamed(tensors, fields["model_type"])
            template = chat.template_of(folder)
        else:
            config = weights.part(folder / "config.json", read_config)
            tokenizer = weights.part(folder / "tokenizer.json", lambda path: Tokenizer.from_file(str(path)))
        with weights.empty_weights():
            network = Decoder(config)
        weights.fill(network, tensors, f"model.safetensors in {folder.name}")
        parameters = sum(p.numel() for p in network.parameters())
        network, chosen = in_precision(network.to(device))
        return cls(network, tokenizer, template=template, precision=chosen, parameters=parameters)

    def save(self, folder: Path) -> None:
        """Write the three files that `load` reads, the weights in half precision."""
        weights.save(folder, self.network, self.config)
        self.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the characters that have no token, see `unknown`."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [i for i in ids if i != self.missing]

    def prompt(self, text: str, form: int = 5) -> tuple[list[int], str]:
        """Ids of a prompt, and how it is shown before its continuation.

        For poems the first line is the title and the rest begins the poem; a single line with a verse's punctuation
        in it begins a poem without a title. `form` is that of a poem: characters a line, 0 for neither 5 nor 7.
        """
        if self.kind != "poems":
            return self.encode(text), text
        title, _, start = text.strip().partition("\n")
        if not start and ENDS.search(title):
            title, start = "", title
        ids = [i for i in poem_prompt(self.tokenizer, title, form, start.strip()) if i != self.missing]
        return ids, "\n".join(part for part in (title, self.printed(start.strip())) if part) + ("" if start else "\n")

    def printed(self, written: str) -> str:
        """Written text as it is shown: a poem with one sentence a line."""
        return SENTENCES.sub(r"\1\n", written) if self.kind == "poems" else written

    def conversation(self, turns: Sequence[tuple[str, str]], room: int) -> list[int]:
        """Ids of (role, text) turns as the model's own template renders them, ready for its answer.

        Drops the oldest turns until the rest fits `room` tokens. Raises `DemoError` for a model without a template.
        """
        if self.template is None:
            raise DemoError("This checkpoint was not tuned to chat; choose one that was.")
        plain: list[tuple[str, str]] = []
        count = 0  # tokens of their texts alone, which in one text may be a few less
        for role, text in reversed(turns):
            plain.insert(0, (role, self._without_special(text)))
            count += len(self.tokenizer.encode(plain[0][1], add_special_tokens=False).ids) + 1
            if count > 2 * room:
                break
        fits, too_many = 1, len(plain) + 1  # turns; a single one is kept whatever its length
        tried = len(plain)
        while too_many - fits > 1:
            if len(self._rendered(plain[-tried:])) <= room:
                fits = tried
            else:
                too_many = tried
            tried = (fits + too_many) // 2
        return self._rendered(plain[-fits:])[-room:]

    def _rendered(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """Ids of a conversation."""
        assert self.template is not None
        text = chat.conversation(self.template, turns)
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _without_special(self, text: str) -> str:
        """Remove the names of special tokens, so that a visitor's text cannot end the visitor's turn."""
        for token in self.tokenizer.get_added_tokens_decoder().values():
            text = text.replace(token.content, "") if token.special else text
        return text

    def unknown(self, text: str) -> str:
        """The characters of the text that have no token, each once."""
        if self.missing is None:
            return ""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        spans = [span for i, span in zip(encoding.ids, encoding.offsets, strict=True) if i == self.missing]
        return "".join(dict.fromkeys(text[a:b] for a, b in spans))

    @torch.inference_mode()
    def surprise(self, ids: Sequence[int], *, stride: int | None = None, batch_size: int = 16) -> Tensor:
        """-log p of each token after the first, (T - 1,), in nats.

        Over a text that is longer than the context slides a window, by `stride` tokens (default: a quarter of the
        context); each token is scored in the window in which most tokens come before it.
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
                losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none")
                for start, scores in zip(group, losses.cpu(), strict=True):
                    new = 0 if start == 0 else context - stride
                    nats[start + new : start + length] = scores[new:]
        return nats


def read_config(path: Path) -> Config:
    """The `Config` in a config.json. Raises `ValueError` or `TypeError` for a wrong or unknown field."""
    fields = json.loads(path.read_text("utf-8"))
    return Config(**{**fields, "stop_ids": tuple(fields.get("stop_ids", ()))})


def in_precision(network: Decoder) -> tuple[Decoder, str]:
    """The network in the precision that decodes fastest on this processor, and that precision's name.

    Small networks stay in single precision, as do those on an accelerator. The variable
    `DEMO_APP_DECODER_GENERATOR_PRECISION` overrides this with fp32, bf16 or int8. Raises `DemoError` for another value.
    """
    wanted = precision.from_environment(PRECISION)
    if wanted == "auto":
        wanted = "int8" if int8.int8_is_faster(network) else "fp32"
    return precision.convert(network, wanted)
