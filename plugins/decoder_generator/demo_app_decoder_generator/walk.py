"""Step by step: where a visitor stands in a text, and the token to take next. Drawing imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_app_decoder_generator import explain
from demo_app_decoder_generator.prompts import Prompt

if TYPE_CHECKING:
    from demo_app_decoder_generator.sampling import Sampling
    from demo_app_decoder_generator.writer import Writer

READ = 256  # tokens at the end of a text that a step reads


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """A prompt, the tokens that were taken after it, and what the model sees there. Small: each session keeps one."""

    checkpoint: str
    prompt: Prompt
    taken: tuple[int, ...]  # ids
    written: str  # the same as text
    look: explain.Look

    @classmethod
    def at(cls, writer: Writer, checkpoint: str, prompt: Prompt, taken: tuple[int, ...] = ()) -> Walk:
        """Read the end of the text, one forward pass."""
        ids = [*prompt.ids, *taken]
        before = writer.tokenizer.decode(list(prompt.ids), skip_special_tokens=False)
        return cls(
            checkpoint=checkpoint,
            prompt=prompt,
            taken=taken,
            written=writer.tokenizer.decode(ids, skip_special_tokens=False)[len(before) :],
            look=explain.look(writer.network, writer.tokenizer, ids[-min(READ, writer.config.context) :]),
        )

    @property
    def ids(self) -> tuple[int, ...]:
        """The whole text: the prompt, then what was taken."""
        return (*self.prompt.ids, *self.taken)

    def likeliest(self) -> int:
        """The id of the token with the highest score."""
        return int(self.look.logits.argmax())

    def draw(self, sampling: Sampling) -> int:
        """The id of a drawn token; the same seed draws the same one at the same place."""
        import torch

        from demo_app_decoder_generator.sampling import draw

        generator = torch.Generator().manual_seed((sampling.seed or 0) + len(self.taken))
        return draw(torch.from_numpy(self.look.logits), sampling, generator, self.ids)
