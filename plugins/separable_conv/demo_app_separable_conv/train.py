"""Train a small convolutional network from scratch on pictures in class folders.

python -m demo_app_separable_conv.train --data FOLDER_OR_TAR --out FOLDER
"""

# N examples, B batch, S pixels of a side

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from demo_app import InputError
from demo_app.options import add_options, from_options, option, report
from demo_app.training.optimizers import Muon, weight_decay_groups
from demo_app.training.processes import Process
from demo_app.training.progress import progress_bar
from demo_app.training.schedule import Schedule
from demo_app.training.state import StateFile
from demo_app.training.trainer import Trainer
from demo_app_separable_conv.classifier import Classifier, normalised
from demo_app_separable_conv.data import Examples, augmented, read_examples, shifted, split
from demo_app_separable_conv.evaluate import scores
from demo_app_separable_conv.model import BLOCKS, Config, ConvNet, Stage

STAGE = re.compile(r"(\d+)x(\d+)(?:/(\d+))?")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Hyperparameters. Each field is an option of the command line."""

    epochs: int = option(30, "passes over the data")
    batch_size: int = option(128, "pictures in a step")
    learning_rate: float = option(0.015, "Muon's peak: the share of a filter bank that a step changes")
    adam_rate: float = option(3e-3, "AdamW's, for stem, depthwise filters, norms and the last linear map")
    warmup: float = option(0.1, "share of all steps in which the rates rise; then they decay linearly to zero")
    weight_decay: float = option(0.05, "AdamW's, on filters")
    label_smoothing: float = option(0.1, "probability mass spread over all classes")
    average: float = option(0.998, "decay of the moving average of the weights, which is saved")
    distort: float = option(0.0, "probability to rotate, shear, recolour or blur a picture (TrivialAugment)")
    erase: float = option(0.0, "probability to erase a part of a picture")
    cutmix: float = option(0.0, "probability that a batch's pictures get a part of another, and of its label")
    seed: int = option(0, "of weights, order and augmentation")
    threads: int = option(2, "of torch; another number may change the last digits of the result")


def augmentation(size: int, settings: TrainingSettings) -> v2.Transform:
    """Random shifts of pictures of `size` pixels by up to an eighth, mirror images, distortions and erasures.

    The distortion is one operation of a random strength (Müller and Hutter 2021, https://arxiv.org/abs/2103.10158).
    """
    grey = 127
    steps = shifted(size, mirror=True)
    if settings.distort:
        steps.append(v2.RandomApply([v2.TrivialAugmentWide(fill=grey)], settings.distort))
    if settings.erase:
        steps.append(v2.RandomErasing(settings.erase, scale=(0.02, 0.2), value=grey))
    return v2.Compose(steps)


@torch.no_grad()
def whiten(stem: nn.Conv2d, x: Tensor, floor: float = 5e-4) -> None:
    """Initialize the first convolution with the principal directions of patches, and their negatives.

    This decorrelates its channels (Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.2; there they stay frozen,
    here they are trained). x (N, 3, S, S): normalised pictures. `floor` is added to the variances.
    """
    half = stem.out_channels // 2
    patches = F.unfold(x, stem.kernel_size).transpose(1, 2).flatten(0, 1)  # (M, 3 K K)
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))  # ascending
    filters = (directions / (variances + floor).sqrt()).T.flip(0)[:half].unflatten(1, stem.weight.shape[1:])
    stem.weight[: len(filters)] = filters
    stem.weight[len(filters) : 2 * len(filters)] = -filters


def optimizers(network: ConvNet, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions inside the network that mix channels, AdamW for the rest."""
    mixing = [
        module.weight
        for module in (*network.blocks.modules(), network.conv_head)
        if isinstance(module, nn.Conv2d) and module.groups == 1
    ]
    chosen = {id(parameter) for parameter in mixing}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    groups = weight_decay_groups(others, settings.weight_decay)
    adam = torch.optim.AdamW(groups, lr=settings.adam_rate, betas=(0.9, 0.99), fused=True)
    if not mixing:
        return [adam]
    return [Muon(mixing, lr=settings.learning_rate, momentum=0.9, fixed_norm=True), adam]


def batches(
    examples: Examples, config: Config, settings: TrainingSettings, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch, in random order: pictures (B, 3, S, S) and classes, (B,), or (B, L) after CutMix."""
    augment = augmentation(examples.pictures.shape[-1], settings)
    cutmix = v2.CutMix(num_classes=len(config.labels))  # Yun et al. 2019, https://arxiv.org/abs/1905.04899
    for rows in torch.randperm(len(examples)).split(settings.batch_size):
        if len(rows) == 1 and len(examples) > 1:
            continue  # a single picture has no variance, which BatchNorm needs
        some = examples[rows]
        pixels = augmented(some.pictures, augment)  # (B, 3, S, S)
        x, classes = normalised(pixels.to(device), config), some.classes.to(device)
        if settings.cutmix and torch.rand(()) < settings.cutmix:
            x, classes = cutmix(x, classes)
        yield x.contiguous(memory_format=torch.channels_last), classes


def loss_of(network: nn.Module, batch: tuple[Tensor, Tensor], settings: TrainingSettings) -> Tensor:
    """Cross-entropy with label smoothing."""
    x, classes = batch
    return F.cross_entropy(network(x).logits.float(), classes, label_smoothing=settings.label_smoothing)


@torch.inference_mode()
def measured(
    logits_of: Callable[[Tensor], Tensor],
    config: Config,
    examples: Examples,
    device: str = "cpu",
    batch_size: int = 250,
) -> dict[str, float]:
    """`scores` on pictures that already have the network's size; `logits_of` maps (B, 3, S, S) to (B, L)."""
    batches = (normalised(part.to(device), config) for part in examples.pictures.split(batch_size))
    logits = torch.cat([logits_of(x).cpu() for x in batches])  # (N, L)
    return scores(logits, examples.classes)


def fit(
    config: Config, examples: Examples, held_out: Examples, settings: TrainingSettings, out: Path, device: str
) -> ConvNet:
    """The averaged weights after the last epoch. Resumes from `training.pt`, and removes it at the end."""
    torch.manual_seed(settings.seed)
    network = ConvNet(config).to(device, memory_format=torch.channels_last)
    whiten(network.conv_stem, normalised(examples.pictures[::20][:2000].to(device), config))
    schedule = Schedule(
        epochs=settings.epochs,
        steps=settings.epochs * -(-len(examples) // settings.batch_size),
        warmup=settings.warmup,
        decay="linear",
        max_grad_norm=None,
        ema_decay=settings.average,
        bfloat16=torch.device(device).type == "cuda",
        monitor="accuracy",
        higher_is_better=True,
        keep="last",
        seed=settings.seed,
    )

    def evaluate(mean: nn.Module) -> dict[str, float]:
        return measured(lambda x: mean(x).logits, config, held_out, device)

    out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as bar:
        trainer = Trainer(
            network,
            optimizers(network, settings),
            schedule,
            process=Process(device=torch.device(device)),
            state_file=StateFile(path=out / "training.pt", settings=json.dumps([asdict(config), asdict(settings)])),
            progress=bar,
        )
        trainer.fit(
            lambda epoch: batches(examples, config, settings, device),
            lambda network, batch: loss_of(network, batch, settings),
            evaluate=evaluate,
        )
    return network.requires_grad_(False).cpu()


def stages_of(text: str, block: str) -> tuple[Stage, ...]:
    """Stages from WIDTHxREPEATS/STRIDE, separated by commas. Raises `InputError` for anything else.

    >>> stages_of("64x2,128x1/2", "dense")[1]
    Stage(width=128, block='dense', repeats=1, stride=2, kernel=3, expand=6, middle=False, last=True, skip=True)
    """
    found = [STAGE.fullmatch(part.strip()) for part in text.split(",")]
    if not all(found):
        raise InputError(f"stages {text!r} are not written as WIDTHxREPEATS/STRIDE,...; for instance 64x3/2,128x3/2.")
    return tuple(
        Stage(width=int(m[1]), repeats=int(m[2]), stride=int(m[3] or 1), block=block, middle=False) for m in found if m
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder, TAR or ZIP with a folder for each class")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument(
        "--held-out", type=float, default=0.05, help="share of each class held out of training (default 0.05)"
    )
    parser.add_argument("--size", type=int, default=32, help="pixels of a side, to which pictures are resized (32)")
    parser.add_argument("--stem", type=int, default=32, help="channels of the first convolution (32)")
    parser.add_argument("--stages", default="64x3/2,128x3/2,256x2/2", help="WIDTHxREPEATS/STRIDE of each stage")
    parser.add_argument("--block", choices=[b for b in BLOCKS if b != "inverted"], default="separable")
    parser.add_argument("--attention", type=int, help="index of the stage that self-attention follows")
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="in inference, average over a picture and its mirror image; not for letters or digits",
    )
    parser.add_argument(
        "--shift", type=int, default=1, help="in inference, also view it shifted by so many pixels, both ways (1)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_options(parser, TrainingSettings)
    return parser


def run(options: argparse.Namespace) -> dict[str, float]:
    """Train, save the checkpoint with its metrics.json, and return the metrics."""
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    settings = from_options(TrainingSettings, options)
    examples = read_examples(options.data, resize=options.size, crop=options.size)
    examples, held_out = split(examples, options.held_out, settings.seed)
    std, mean = torch.std_mean(examples.pictures[:: max(1, len(examples) // 5000)] / 255, dim=(0, 2, 3))  # (3,)
    config = Config(
        labels=examples.labels,
        stem=options.stem,
        stem_stride=1,
        stages=stages_of(options.stages, options.block),
        attention=options.attention,
        activation="relu",
        resize=options.size,
        crop=options.size,
        mean=tuple(round(value, 4) for value in mean.tolist()),
        std=tuple(round(value, 4) for value in std.tolist()),
        mirror=options.mirror,
        shift=options.shift,
    )
    Classifier(fit(config, examples, held_out, settings, options.out, options.device)).save(options.out)
    classifier = Classifier.load(options.out, "cpu")  # as it is on disk, in half precision
    network = classifier.network
    result = measured(classifier.logits, config, held_out) | {"examples": len(held_out)}
    if network.attention is not None:
        result["gamma"] = round(network.attention.gamma.item(), 4)
    (options.out / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    result["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return result | {"seconds": round(time.perf_counter() - started, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
