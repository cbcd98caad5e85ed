"""Measure a checkpoint on scenes generated from a seed, or on pairs of pictures and texts.

python -m demo_app_image_text_fusion.evaluate --checkpoint NAME_OR_FOLDER --seed N --examples M
python -m demo_app_image_text_fusion.evaluate --checkpoint NAME_OR_FOLDER --data PAIRS.csv
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from demo_app import InputError
from demo_app.options import find_checkpoint, readable_errors
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.checkpoints import WEIGHTS
from demo_app_image_text_fusion.model import Fusion, Output, Pieces
from demo_app_image_text_fusion.preparing import scaled
from demo_app_image_text_fusion.scene_data import MOST, Batch, batches
from demo_app_image_text_fusion.scenes import ANSWERS
from demo_app_image_text_fusion.texts import silence

SIZE = 100  # questions in a batch


def answer(network: Fusion, batch: Batch, *, blind: bool = False, deaf: bool = False) -> Output:
    """The network's output on a batch: `blind` without the pictures, `deaf` with empty questions."""
    device = network.final_norm.weight.device
    ids, mask = (silence(len(batch.ids)), None) if deaf else (batch.ids, batch.mask)
    parts = {"text": network.extract("text", ids.to(device), None if mask is None else mask.to(device))}
    if not blind:
        pictures = network.extract("image", scaled(batch.pixels.to(device)))
        parts["image"] = Pieces(pictures.x[batch.rows.to(device)], None, pictures.grid)
    return network(parts)


@torch.inference_mode()
def on_scenes(network: Fusion, tokenizer: Tokenizer, seed: int, examples: int) -> dict[str, float]:
    """Accuracy on scenes of a seed: on relational questions, on the others, blind, deaf; and how many were asked."""
    network.eval()
    side = network.config.modalities[1].places[0]
    source = itertools.islice(batches(tokenizer, seed, SIZE, side, MOST), -(-examples // SIZE))
    right: dict[str, list[bool]] = {"relational": [], "non_relational": [], "blind": [], "deaf": []}
    for batch in tqdm(source, total=-(-examples // SIZE), desc="evaluate", file=sys.stderr, mininterval=5):
        found = (answer(network, batch).logits.argmax(1).cpu() == batch.answers).tolist()
        right["non_relational"] += found[::2]  # the kinds alternate
        right["relational"] += found[1::2]
        for name, options in (("blind", {"blind": True}), ("deaf", {"deaf": True})):
            right[name] += (answer(network, batch, **options).logits.argmax(1).cpu() == batch.answers).tolist()
    kept = {"relational": examples // 2, "non_relational": examples - examples // 2}
    shares = {name: rows[: kept.get(name, examples)] for name, rows in right.items()}
    return {name: round(sum(rows) / max(1, len(rows)), 5) for name, rows in shares.items()} | {"examples": examples}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="demo_app_image_text_fusion.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="name of an embedded checkpoint, or a folder")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes")
    parser.add_argument("--examples", type=int, default=2000, help="questions, half of them relational")
    parser.add_argument("--data", type=Path, help="a CSV with the columns image, text and label instead of scenes")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with readable_errors():
        answerer = Answerer.load(find_checkpoint(options.checkpoint, WEIGHTS), options.device)
        if options.data is not None:
            from demo_app_image_text_fusion.pairs import on_pairs, read_pairs

            result = on_pairs(answerer, read_pairs(options.data, require_label=True))
        else:
            if answerer.labels != ANSWERS:
                raise InputError("this checkpoint does not answer questions on scenes; give --data.")
            if options.examples < 1:
                raise InputError("{count} examples are too few; give at least 1.", count=options.examples)
            result = on_scenes(answerer.network, answerer.tokenizer, options.seed, options.examples)
    sys.stdout.write(json.dumps(result | {"seconds": round(time.perf_counter() - started, 1)}) + "\n")


if __name__ == "__main__":
    main()
