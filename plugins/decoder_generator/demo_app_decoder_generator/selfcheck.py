"""Published texts of the checkpoints beside what the models here write, for `demo-app selfcheck`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demo_app import Checkpoint, Comparison

if TYPE_CHECKING:
    from demo_app_decoder_generator.writer import Writer

TESTS = "generation tests of transformers"
RECORDED = "recorded from its weights in 4 bits"

# A prompt, and the greedy text that was published for it
TEXTS = {
    "gpt2": (
        (TESTS, "The dog", " was found in a field near the intersection of West and West Streets.\n\nThe dog"),
        (TESTS, "Hello, my dog is a little", " bit of a mess. I'm not sure if he's going"),
        (TESTS, "Today, I", "'m going to be doing a lot of research on this. I"),
    ),
    "distilgpt2": (
        (
            TESTS,
            "The president",
            " of the United States, and the president of the United Kingdom, have been in the White",
        ),
    ),
    "smollm2": ((RECORDED, "The capital of France is", " Paris"),),
}


def selfcheck(writer: Writer, checkpoint: Checkpoint) -> Iterator[Comparison]:
    """One comparison for each published text of the checkpoint.

    The published texts were written in single precision. In another one, which `what` then names, two tokens that are
    nearly equally likely may swap.
    """
    from demo_app_decoder_generator.sampling import Sampling

    for source, prompt, expected in TEXTS.get(checkpoint.name, ()):
        ids = writer.encode(prompt)
        count = len(writer.encode(prompt + expected)) - len(ids)
        written = [token.id for token in writer.engine.write(ids, count, Sampling(temperature=0))]
        how = "" if writer.precision == "fp32" else f", in {writer.precision}"
        found = writer.tokenizer.decode(written)
        yield Comparison(what=f"greedy text after {prompt!r}{how}", source=source, expected=expected, found=found)
