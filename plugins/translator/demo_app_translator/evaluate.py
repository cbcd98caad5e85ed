"""Evaluate a checkpoint on pairs of sentences; prints one JSON object.

python -m demo_app_translator.evaluate --checkpoint NAME_OR_FOLDER --source FILE --target FILE
python -m demo_app_translator.evaluate --checkpoint NAME_OR_FOLDER --data CSV
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from demo_app.options import add_options, find_checkpoint, from_options, report
from demo_app_translator.checkpoints import WEIGHTS
from demo_app_translator.data import Pairs, read_pairs
from demo_app_translator.search import Beam
from demo_app_translator.translator import Translator

TOKENIZERS = {"zh": "zh", "ja": "char"}  # of sacrebleu, for target languages without spaces between words


def scores(translator: Translator, pairs: Pairs, settings: Beam) -> dict[str, float | str]:
    """Lower-cased BLEU and chrF (Post 2018, https://arxiv.org/abs/1804.08771) against the given translations."""
    written = translator.translate(pairs.source, settings)
    bleu = BLEU(lowercase=True, tokenize=TOKENIZERS.get(translator.config.target, "13a"))
    score = bleu.corpus_score(written, [pairs.target])
    chrf = CHRF(lowercase=True).corpus_score(written, [pairs.target])
    return {
        "bleu": round(score.score, 2),
        "chrf": round(chrf.score, 2),
        "signature": str(bleu.get_signature()),
        "sentences": len(pairs),
    }


def run(options: argparse.Namespace) -> dict[str, float | str]:
    """Evaluate as the command line says; returns the scores and the seconds it took."""
    started = time.perf_counter()
    translator = Translator.load(find_checkpoint(options.checkpoint, WEIGHTS), "cpu")
    languages = (translator.config.source, translator.config.target)
    pairs = read_pairs(options.source, options.target, options.data, languages)
    found = scores(translator, pairs, from_options(Beam, options))
    return found | {"seconds": round(time.perf_counter() - started, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, metavar="NAME_OR_FOLDER")
    parser.add_argument("--source", type=Path, help="sentences, one per line; .gz too")
    parser.add_argument("--target", type=Path, help="their translations")
    parser.add_argument("--data", type=Path, help="instead, a CSV with a column for each language; .gz too")
    add_options(parser, Beam)
    report(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
