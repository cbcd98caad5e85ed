"""Train a translator from scratch on pairs of sentences.

python -m demo_app_translator.train --languages en de --source FILE --target FILE \
    --validation-source FILE --validation-target FILE --out FOLDER
python -m demo_app_translator.train --languages en zh --data CSV --validation CSV --out FOLDER
"""

# N sentences of a batch, S source tokens, T target tokens, V target vocabulary

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from demo_app.nn.dropout import use_byte_dropout
from demo_app.options import add_options, from_options, option, report
from demo_app.training.optimizers import Muon, weight_decay_groups
from demo_app.training.progress import progress_bar
from demo_app.training.schedule import Schedule
from demo_app.training.state import StateFile
from demo_app.training.trainer import Trainer
from demo_app_translator.data import Pairs, read_pairs
from demo_app_translator.evaluate import scores
from demo_app_translator.model import Config, EncoderDecoder
from demo_app_translator.search import Beam
from demo_app_translator.tokens import Pieces, train_tokenizer
from demo_app_translator.translator import Translator

POOL = 30  # batches whose pairs are drawn together and sorted by length, to keep padding short


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The hyperparameters. Each field is a command-line option."""

    epochs: int = option(40, "times to go through the data")
    batch_size: int = option(128, "pairs in a step")
    learning_rate: float = option(0.02, "of Muon, for the layers' matrices: linear warm-up, then linear decay to zero")
    adam_rate: float = option(3e-3, "of AdamW, for embeddings and norms")
    warmup: float = option(0.05, "share of all steps")
    weight_decay: float = option(0.1, "of matrices")
    label_smoothing: float = option(0.1, "probability mass spread evenly over all tokens")
    merge_dropout: float = option(0.1, "probability of dropping a merge of the tokenizers (BPE-dropout); takes no seed")
    average: float = option(0.999, "decay of the moving average of the weights, which is what is saved")
    evaluate_every: int = option(5, "epochs")
    seed: int = option(0, "of weights, order and dropout")
    threads: int = option(2, "of torch")


@dataclass(frozen=True)
class Batch:
    """Pairs as the network reads them."""

    source: Tensor  # (N, S)
    mask: Tensor  # (N, S), True = a token
    target: Tensor  # (N, T + 1), from start to end, padded


def optimizers(network: EncoderDecoder, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside layers, AdamW for embeddings, norms and biases."""
    layers = [*network.encoder.parameters(), *network.decoder.parameters()]
    matrices = [p for p in layers if p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in known]
    muon = Muon(matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    groups = weight_decay_groups(others, 0.0)
    return [muon, torch.optim.AdamW(groups, lr=settings.adam_rate, betas=(0.9, 0.98), fused=True)]


class Examples:
    """Pairs as batches of tokens."""

    def __init__(
        self, pairs: Pairs, tokenizers: tuple[Tokenizer, Tokenizer], config: Config, settings: TrainingSettings
    ) -> None:
        self.pairs, self.config, self.settings = pairs, config, settings
        self.source, self.target = tokenizers

    def batches(self) -> Iterator[Batch]:
        """The batches of one epoch, in random order, each time with other merges dropped.

        The tokenizer draws the merges itself and takes no seed. Without `merge_dropout` the tokens never change.
        """
        sources = self._tokenise(self.source, self.pairs.source)
        targets = self._tokenise(self.target, self.pairs.target)
        lengths = [(len(target), len(source)) for source, target in zip(sources, targets, strict=True)]
        for numbers in batches(lengths, self.settings.batch_size):
            yield self._batch([sources[n] for n in numbers], [targets[n] for n in numbers])

    def _tokenise(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, with merges dropped; the tokenizer itself is left unchanged."""
        tokenizer.model.dropout = self.settings.merge_dropout or None
        try:
            return [one.ids[: self.config.max_tokens - 1] for one in tokenizer.encode_batch(list(texts))]
        finally:
            tokenizer.model.dropout = None

    def _batch(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
        config = self.config
        pad = {"batch_first": True, "padding_value": config.pad_id}
        source = nn.utils.rnn.pad_sequence([torch.tensor([*row, config.end_id]) for row in sources], **pad)
        whole = [torch.tensor([config.start_id, *row, config.end_id]) for row in targets]
        return Batch(source, source != config.pad_id, nn.utils.rnn.pad_sequence(whole, **pad))


def batches(lengths: Sequence[tuple[int, int]], size: int) -> list[list[int]]:
    """The rows of each batch of one epoch: shuffled, with pairs of similar (target, source) lengths together."""
    pools = torch.randperm(len(lengths)).split(size * POOL)
    drawn: list[list[int]] = []
    for pool in pools:
        ordered = sorted(pool.tolist(), key=lambda n: lengths[n])
        drawn += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [drawn[place] for place in torch.randperm(len(drawn)).tolist()]


def loss_of(network: EncoderDecoder, batch: Batch, smoothing: float) -> Tensor:
    """Cross-entropy per target token with teacher forcing and label smoothing (Szegedy et al. 2016)."""
    logits = network(batch.source, batch.mask, batch.target[:, :-1]).logits  # (N, T, V)
    expected, pad = batch.target[:, 1:], network.config.pad_id  # (N, T)
    return F.cross_entropy(logits.flatten(0, 1), expected.flatten(), ignore_index=pad, label_smoothing=smoothing)


def fit(
    pairs: Pairs,
    validation: Pairs,
    config: Config,
    settings: TrainingSettings,
    tokenizers: tuple[Tokenizer, Tokenizer],
    out: Path,
) -> Translator:
    """Train a translator; returns the averaged weights with the best BLEU on the validation pairs.

    Resumes from `training.pt` in `out` and removes it at the end.
    """
    torch.manual_seed(settings.seed)
    network = EncoderDecoder(config)
    use_byte_dropout(network)
    examples = Examples(pairs, tokenizers, config, settings)
    source, target = (Pieces(tokenizer) for tokenizer in tokenizers)
    schedule = Schedule(
        epochs=settings.epochs,
        steps=settings.epochs * -(-len(pairs) // settings.batch_size),
        warmup=settings.warmup,
        decay="linear",
        ema_decay=settings.average,
        evaluate_every=settings.evaluate_every,
        monitor="bleu",
        higher_is_better=True,
        seed=settings.seed,
    )

    def evaluate(mean: EncoderDecoder) -> dict[str, float]:
        return {"bleu": scores(Translator(mean, source, target), validation, Beam(beams=1))["bleu"]}

    out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as bar:
        trainer = Trainer(
            network,
            optimizers(network, settings),
            schedule,
            state_file=StateFile(
                path=out / "training.pt", settings=json.dumps([asdict(config), asdict(settings), len(pairs)])
            ),
            progress=bar,
        )
        trainer.fit(
            lambda epoch: examples.batches(),
            lambda network, batch: loss_of(network, batch, settings.label_smoothing),
            evaluate=evaluate,
        )
    return Translator(network.requires_grad_(False), source, target)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", nargs=2, required=True, metavar=("SOURCE", "TARGET"), help="as in: en de")
    for name, text in (("", "to learn from"), ("validation-", "to choose the best weights by")):
        parser.add_argument(f"--{name}source", type=Path, help=f"sentences {text}, one per line; .gz too")
        parser.add_argument(f"--{name}target", type=Path, help="their translations")
    parser.add_argument("--data", type=Path, help="instead, a CSV with a column for each language; .gz too")
    parser.add_argument("--validation", type=Path, help="the same, to choose the best weights by")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--vocab-size", type=int, default=4000, help="tokens of each language")
    parser.add_argument("--lowercase-source", action=argparse.BooleanOptionalAction, default=True)
    add_options(parser, Config)
    add_options(parser, TrainingSettings)
    return parser


def run(options: argparse.Namespace) -> dict[str, float | str]:
    """Train as the command line says; returns the scores of the saved checkpoint."""
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    languages = options.languages
    pairs = read_pairs(options.source, options.target, options.data, languages)
    validation = read_pairs(options.validation_source, options.validation_target, options.validation, languages)
    source = train_tokenizer(pairs.source, languages[0], options.vocab_size, lowercase=options.lowercase_source)
    target = train_tokenizer(pairs.target, languages[1], options.vocab_size, lowercase=False)
    config = from_options(
        Config,
        options,
        source=languages[0],
        target=languages[1],
        source_vocab_size=source.get_vocab_size(),
        target_vocab_size=target.get_vocab_size(),
    )
    translator = fit(pairs, validation, config, from_options(TrainingSettings, options), (source, target), options.out)
    translator.save(options.out)
    translator = Translator.load(options.out, "cpu")  # as saved, in half precision
    return scores(translator, validation, Beam()) | {
        "parameters": sum(p.numel() for p in translator.network.parameters()),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
