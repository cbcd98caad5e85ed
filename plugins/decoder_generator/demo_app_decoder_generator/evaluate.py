"""Score a checkpoint on a text or on poems.

python -m demo_app_decoder_generator.evaluate --checkpoint NAME_OR_FOLDER --data FILE
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from demo_app.options import find_checkpoint, readable_errors
from demo_app_decoder_generator.checkpoints import WEIGHTS
from demo_app_decoder_generator.sampling import Sampling
from demo_app_decoder_generator.texts import Poem, form_of, is_poems, poem_ids, prompt, read_poems, read_text
from demo_app_decoder_generator.writer import Writer

POEMS = 200  # poems that are written to see whether they keep the form
SAMPLING = Sampling(temperature=0.8, top_p=0.95)


def evaluate(writer: Writer, text: str, *, stride: int | None = None, seed: int = 0) -> dict[str, float]:
    """Mean nats a token and perplexity; for poems also the share of newly written ones that keep the form.

    A text is one row of tokens, of which all but the first are scored. Each poem is a row, whose head (form and title)
    is given and not scored.
    """
    if not is_poems(text):
        return _scores([(writer.tokenizer.encode(text).ids, 0)], writer, stride)
    poems = read_poems(text)
    rows = [(poem_ids(writer.tokenizer, poem), len(prompt(writer.tokenizer, poem.title, poem.form))) for poem in poems]
    return _scores(rows, writer, stride) | {"form_kept": form_kept(writer, poems, seed)}


def _scores(rows: Sequence[tuple[list[int], int]], writer: Writer, stride: int | None) -> dict[str, float]:
    total, count = 0.0, 0
    for ids, given in tqdm(rows, file=sys.stderr, leave=False, disable=len(rows) < 2):
        nats = writer.surprise(ids, stride=stride)[max(0, given - 1) :]
        total, count = total + float(nats.double().sum()), count + len(nats)
    mean = total / max(1, count)
    return {"nats_per_token": round(mean, 4), "perplexity": round(math.exp(mean), 3), "tokens": count}


def form_kept(writer: Writer, poems: Sequence[Poem], seed: int) -> float:
    """Write poems for the titles of regular ones, and return the share that keeps the requested form."""
    regular = [poem for poem in poems if poem.form]
    titled = regular[:: max(1, len(regular) // POEMS)][:POEMS]
    engine = writer.new_engine(rows=16, waiting=POEMS)
    texts = []
    for number, poem in enumerate(titled):
        ids = prompt(writer.tokenizer, poem.title, poem.form)
        sampling = replace(SAMPLING, seed=seed * POEMS + number)
        texts.append(engine.write(ids, writer.config.context // 2, sampling, writer.config.stop_ids))
    kept = 0
    for poem, text in zip(titled, tqdm(texts, desc="poems", file=sys.stderr, leave=False), strict=True):
        ids = [token.id for token in text if token.id not in text.stop_ids]
        kept += form_of(writer.tokenizer.decode(ids, skip_special_tokens=False)) == poem.form
    return round(kept / max(1, len(titled)), 4)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, metavar="NAME_OR_FOLDER")
    parser.add_argument("--data", type=Path, required=True, help="a text, or poems as JSON lines; .gz too")
    parser.add_argument("--stride", type=int, help="tokens the window slides by; default: a quarter of the context")
    parser.add_argument("--seed", type=int, default=0, help="of the poems that are written")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with readable_errors():
        writer = Writer.load(find_checkpoint(options.checkpoint, WEIGHTS), "cpu")
        result = evaluate(writer, read_text(options.data), stride=options.stride, seed=options.seed)
    sys.stdout.write(json.dumps(result | {"seconds": round(time.perf_counter() - started, 1)}) + "\n")


if __name__ == "__main__":
    main()
