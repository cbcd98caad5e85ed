"""The network with the preparation of pictures: what the plugin's `load` returns."""

# B batch, N pictures, L labels, S pixels of a side

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from demo_app.inputs.crops import centre_crop
from demo_app.inputs.pictures import MARGIN
from demo_app.nn import weights
from demo_app.nn.fused import Fused
from demo_app_separable_conv import published
from demo_app_separable_conv.model import Config, ConvNet, Stage
from demo_app_separable_conv.seen import SHOWN


class Classifier:
    """Classifies pictures. Its parameters are frozen, and threads may share it."""

    def __init__(self, network: ConvNet) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.labels = network.config.labels
        self.fused = Fused(self.network.steps(), self.config.crop)  # the fastest form of its convolutional part

    @classmethod
    def load(cls, folder: Path, device: str) -> Classifier:
        """From config.json and model.safetensors, ours or timm's.

        Weights are memory-mapped; those in half precision become single. Raises `DemoError` for a file that is missing,
        damaged, or of another network.
        """
        fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
        reader = published.config_of if published.is_published(fields) else config_of
        config = weights.part(folder / "config.json", lambda _: reader(fields))
        tensors = weights.part(folder / "model.safetensors", weights.read)
        with weights.empty_weights():
            network = ConvNet(config)
        weights.fill(network, tensors, f"model.safetensors in {folder.name}")
        classifier = cls(network.to(device))
        classifier.fused.pack()
        return classifier

    def save(self, folder: Path) -> None:
        """Write the two files that `load` reads, the weights in half precision."""
        weights.save(folder, self.network, self.config)

    @property
    def device(self) -> torch.device:
        return self.network.classifier.weight.device

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def at_least(self) -> int:
        """Pixels that the shorter side of a decoded picture should have, for the network and for the page."""
        return max(self.config.resize, SHOWN // MARGIN)

    def see(self, picture: Image.Image) -> Image.Image:
        """The part of an RGB picture that the network sees, S x S."""
        return centre_crop(picture, self.config.resize, self.config.crop)

    def read(self, pixels: NDArray[np.uint8]) -> Tensor:
        """One picture as `see` returns it, (S, S, 3), to the network's input (1, 3, S, S)."""
        return normalised(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self.device), self.config)

    def prepare(self, pictures: Sequence[Image.Image]) -> Tensor:
        """RGB pictures of any size to the network's input (B, 3, S, S)."""
        pixels = torch.from_numpy(np.stack([np.asarray(self.see(picture)) for picture in pictures]))  # (B, S, S, 3)
        return normalised(pixels.permute(0, 3, 1, 2).to(self.device), self.config)

    @torch.inference_mode()
    def logits(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) as from `prepare` to (B, L), averaged over the config's views of a picture."""
        seen = views_of(x, self.config)
        logits = self.network.classifier(self.fused(seen).mean(dim=(2, 3)))
        return logits.unflatten(0, (-1, len(x))).mean(dim=0)

    @torch.inference_mode()
    def predict(self, pictures: Sequence[Image.Image], batch_size: int = 32) -> Tensor:
        """Probabilities (N, L) on the CPU."""
        batches = (pictures[at : at + batch_size] for at in range(0, len(pictures), batch_size))
        return torch.cat([self.logits(self.prepare(batch)).softmax(-1).cpu() for batch in batches])

    def best(self, pictures: Sequence[Image.Image]) -> list[tuple[str, float]]:
        """The likeliest label of each picture, and its probability."""
        if not pictures:
            return []
        shares, places = self.predict(pictures).max(dim=1)
        return [(self.labels[place], share) for place, share in zip(places.tolist(), shares.tolist(), strict=True)]


def views_of(x: Tensor, config: Config) -> Tensor:
    """(B, 3, S, S) to (V * B, 3, S, S), V = `Config.views`.

    The picture itself, its mirror image, shifted down and right, and shifted up and left and mirrored, with reflected
    edges. After Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.4, which has six.
    """
    seen = [x]
    if config.mirror:
        seen.append(x.flip(-1))
    if config.shift:
        size, by = x.shape[-1], 2 * config.shift
        padded = F.pad(x, (config.shift,) * 4, mode="reflect")
        second = padded[..., by:, by:]
        seen += [padded[..., :size, :size], second.flip(-1) if config.mirror else second]
    return torch.cat(seen) if len(seen) > 1 else x


def normalised(pixels: Tensor, config: Config) -> Tensor:
    """(B, 3, S, S) uint8 to floats: scaled to 0..1, minus the mean, divided by the standard deviation."""
    mean = torch.tensor(config.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(config.std, device=pixels.device)[:, None, None]
    return (pixels / 255 - mean) / std


def config_of(fields: dict[str, object]) -> Config:
    """The `Config` in a config.json; raises `ValueError` or `TypeError` for a field that is wrong or unknown."""
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Config(**lists | {"stages": tuple(Stage(**stage) for stage in lists["stages"])})  # type: ignore[arg-type]
