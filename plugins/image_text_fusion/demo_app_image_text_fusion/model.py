"""Several modalities, one Transformer: extractors map each to vectors of one width, one shared encoder reads them all.

Each modality is cut into pieces (words, patches, samples). A linear map or a small convolutional stem makes each piece
a vector of width D, to which two more are added: one for its position, one for its modality. From then on all pieces
are alike, and each attends to all others in every layer. With text first, patches of 32 pixels and twelve layers this
is ViLT (Kim et al. 2021, https://arxiv.org/abs/2102.03334), whose checkpoints `published.py` reads. The config alone
says how many modalities there are, and of which kinds.
"""

# B batch, T pieces of one modality, S pieces of all, D width, H heads, h x w patches, C classes

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn import EncoderLayer
from demo_app.nn.stages import Stage

KINDS = ("tokens", "patches", "stem", "vectors")
HEADS = ("linear", "hidden")
SCORES = ("softmax", "sigmoid")
PREPARATIONS = ("square", "vilt")


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A source of pieces, and how they become vectors."""

    name: str  # "text", "image", "audio", ...
    kind: str  # of `KINDS`: words by a table, patches by a linear map or a stem, vectors by a linear map
    inputs: int  # tokens: size of the vocabulary; patches, stem: channels; vectors: their width
    places: tuple[int, ...]  # number of learned positions: (T,), or (h, w) for patches
    patch: int = 0  # patches, stem: pixels of a side; for a stem a power of two
    extra: bool = False  # a learned vector before the pieces, like the [CLS] of a vision Transformer
    norm: bool = False  # a LayerNorm on the sum of piece and position, as in BERT

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is unknown; choose one of: {', '.join(KINDS)}.")
        if len(self.places) != (2 if self.pictures else 1):
            raise ValueError(f"places {self.places} do not fit {self.kind}; give {'h, w' if self.pictures else 'one'}.")
        if self.pictures and self.patch < 1:
            raise ValueError(f"patch is {self.patch} pixels; give at least 1.")
        if self.kind == "stem" and self.patch & (self.patch - 1):
            raise ValueError(
                f"patch {self.patch} is not a power of two; a stem needs one, since each of its steps halves the size."
            )

    @property
    def pictures(self) -> bool:
        return self.kind in ("patches", "stem")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The content of config.json: all that is needed to build the network."""

    labels: tuple[str, ...]  # name of each class, in the order of the logits
    modalities: tuple[Modality, ...]  # in the order in which the encoder reads them
    width: int = 128  # D
    heads: int = 4  # H
    layers: int = 4
    feed_forward: int = 512
    norm_eps: float = 1e-5
    dropout: float = 0.0
    head: str = "linear"  # or "hidden": two maps with a LayerNorm between, as in ViLT for questions
    scores: str = "softmax"  # over all answers, or "sigmoid": of each answer independently
    preparation: str = "square"  # of pictures: padded to a square, or "vilt"
    pointing: tuple[str, ...] = ()  # names of the auxiliary targets of each patch: one logit each
    reading: str | None = None  # one of `pointing`: patches with a high logit are read out beside the first piece

    def __post_init__(self) -> None:
        names = [modality.name for modality in self.modalities]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"modalities {names} must be at least one, each with a name of its own.")
        if self.reading is not None and self.reading not in self.pointing:
            raise ValueError(f"reading {self.reading!r} is not among pointing; choose one of: {self.pointing}.")
        for field, known in (("head", HEADS), ("scores", SCORES), ("preparation", PREPARATIONS)):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} {getattr(self, field)!r} is unknown; choose one of: {', '.join(known)}.")


@dataclass(frozen=True)
class Pieces:
    """A modality as the encoder reads it."""

    x: Tensor  # (B, T, D)
    mask: Tensor | None = None  # (B, T), True = a piece, False = padding; None: no padding
    grid: tuple[int, int] | None = None  # h, w of a picture's patches, which are the last pieces


@dataclass(frozen=True)
class Trace:
    """Intermediate results."""

    attention: tuple[Tensor, ...]  # of each layer, (B, H, S, S); rows sum to 1
    spans: Mapping[str, slice]  # the pieces of each modality among S


@dataclass(frozen=True)
class Output:
    """What the network returns."""

    logits: Tensor  # (B, C)
    points: Mapping[str, Tensor]  # by modality with patches: logits (B, T, len(Config.pointing))
    trace: Trace | None = None


class Extractor(nn.Module):
    """Raw input of one modality to pieces of width D, each with its position and its modality added."""

    def __init__(self, modality: Modality, width: int, eps: float) -> None:
        super().__init__()
        self.modality = modality
        self.embed = embedding(modality, width)
        self.positions = nn.Parameter(torch.empty(*modality.places, width))
        self.kind = nn.Parameter(torch.empty(width))  # one for all pieces of this modality
        self.norm = nn.LayerNorm(width, eps) if modality.norm else nn.Identity()
        self.extra = nn.Parameter(torch.empty(2, width)) if modality.extra else None  # the vector, and its position
        for parameter in (self.positions, self.kind, self.extra):
            if parameter is not None:
                nn.init.normal_(parameter, std=0.02)
        on_meta = self.positions.is_meta  # its values will come from a file
        if modality.pictures and width % 4 == 0 and not on_meta:
            with torch.no_grad():  # neighbours start alike, so that directions need not be learned first
                # small enough not to outweigh the patches where there are few pictures to learn from
                self.positions.copy_(0.1 * waves(*modality.places, width))

    def forward(self, raw: Tensor, mask: Tensor | None = None) -> Pieces:
        """tokens (B, T) int64, patches and stem (B, channels, height, width), vectors (B, T, inputs) to `Pieces`.

        Raises `ValueError` for more pieces than positions; for a picture of another size, positions are interpolated.
        """
        x = self.embed(raw)  # (B, T, D), or (B, D, h, w)
        grid = None
        if self.modality.pictures:
            grid = (x.shape[2], x.shape[3])
            x = x.flatten(2).transpose(1, 2)  # (B, T, D)
        x = self.norm(x + self.places(x.shape[1], grid)) + self.kind
        if self.extra is not None:
            first = (self.extra.sum(dim=0) + self.kind).expand(len(x), 1, -1)  # (B, 1, D)
            x = torch.cat((first, x), dim=1)
            mask = None if mask is None else F.pad(mask, (1, 0), value=True)
        return Pieces(x, mask, grid)

    def places(self, count: int, grid: tuple[int, int] | None) -> Tensor:
        """(T, D), the vectors of the positions."""
        if grid is None:
            if count > len(self.positions):
                raise ValueError(f"{count} pieces do not fit {len(self.positions)} positions; shorten the input.")
            return self.positions[:count]
        if grid == self.modality.places:
            return self.positions.flatten(0, 1)
        table = self.positions.permute(2, 0, 1)[None]  # (1, D, h, w)
        table = F.interpolate(table, size=grid, mode="bilinear", align_corners=True)
        return table[0].flatten(1).T


def embedding(modality: Modality, width: int) -> nn.Module:
    """The map from raw input to vectors; pictures keep their two dimensions."""
    if modality.kind == "tokens":
        return nn.Embedding(modality.inputs, width)
    if modality.kind == "vectors":
        return nn.Linear(modality.inputs, width)
    if modality.kind == "patches":
        return nn.Conv2d(modality.inputs, width, modality.patch, stride=modality.patch)  # a linear map of each patch
    steps: list[nn.Module] = []
    halvings = modality.patch.bit_length() - 1
    channels = modality.inputs
    for step in range(halvings):  # "early convolutions": Xiao et al. 2021, https://arxiv.org/abs/2106.14881
        out = max(16, width >> (halvings - 1 - step))
        steps += convolution(channels, out, stride=2)
        if step:  # a second one, so that a patch also sees beyond its edges
            steps += convolution(out, out, stride=1)
        channels = out
    return nn.Sequential(*steps, nn.Conv2d(channels, width, 1))


def convolution(channels: int, out: int, stride: int) -> list[nn.Module]:
    """A 3 x 3 convolution with BatchNorm and ReLU."""
    conv = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out), nn.ReLU()]


def waves(h: int, w: int, width: int) -> Tensor:
    """(h, w, D): sines and cosines of row and column, a quarter of D each (Beyer et al. 2022, arXiv 2205.01580)."""
    frequencies = 1 / 100 ** (torch.arange(width // 4) / (width // 4))  # waves from 6 to 600 patches long
    rows, columns = (torch.outer(torch.arange(count), frequencies) for count in (h, w))
    rows, columns = (torch.cat((angle.sin(), angle.cos()), dim=1) for angle in (rows, columns))  # (count, D / 2)
    return torch.cat((rows[:, None].expand(h, w, -1), columns[None].expand(h, w, -1)), dim=2)


class Fusion(nn.Module):
    """Several modalities to logits. `forward` stores nothing on the module, so threads may share it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.extractors = nn.ModuleDict({m.name: Extractor(m, width, config.norm_eps) for m in config.modalities})
        self.layers = nn.ModuleList(
            EncoderLayer(width, config.heads, config.feed_forward, dropout=config.dropout, norm_eps=config.norm_eps)
            for _ in range(config.layers)
        )
        self.final_norm = nn.LayerNorm(width, config.norm_eps)
        self.pooler = nn.Linear(width, width)
        classes = len(config.labels)
        self.head: nn.Module = nn.Linear(width, classes)
        if config.head == "hidden":
            self.head = nn.Sequential(
                nn.Linear(width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, classes)
            )
        self.pointing = nn.Linear(width, len(config.pointing)) if config.pointing else None
        if self.pointing is not None:
            nn.init.constant_(self.pointing.bias, -3.0)  # positives are rare
        self.read: nn.Module | None = None
        if config.reading is not None:
            self.read = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))

    def extract(self, name: str, raw: Tensor, mask: Tensor | None = None) -> Pieces:
        """The pieces of one modality, see `Extractor`. A picture that many questions share is extracted once."""
        pieces: Pieces = self.extractors[name](raw, mask)
        return pieces

    def forward(self, parts: Mapping[str, Pieces], *, trace: bool = False) -> Output:
        """Pieces by modality, as `extract` gives them, to logits (B, C).

        A modality may be left out: the network is then blind or deaf. One of batch size 1 is shared by the whole batch.
        Read out is the first piece of the first modality present, in the config's order; with `Config.reading` also the
        sum of all patches, weighted by the probability of that target: which things are meant, and how many.
        """
        x, mask, spans = self.join(parts)
        attention: list[Tensor] = []
        for layer in self.layers:
            x, weights = layer(x, mask, need_weights=trace)  # (B, S, D), (B, H, S, S)
            attention += [weights] if trace else []
        patches = {name: _patches(spans[name], parts[name].grid) for name in spans if parts[name].grid is not None}
        logits, points = self.read_out(x, patches)
        return Output(logits, points, Trace(tuple(attention), spans) if trace else None)

    def join(self, parts: Mapping[str, Pieces]) -> tuple[Tensor, Tensor | None, dict[str, slice]]:
        """All pieces (B, S, D) in the config's order, their mask (B, 1, 1, S) or `None`, and each modality's span."""
        chosen = [(m.name, parts[m.name]) for m in self.config.modalities if m.name in parts]
        B = max(len(part.x) for _, part in chosen)
        x = torch.cat([part.x.expand(B, -1, -1) for _, part in chosen], dim=1)  # (B, S, D)
        mask = None
        if any(part.mask is not None for _, part in chosen):
            masks = [
                part.x.new_ones(part.x.shape[:2], dtype=torch.bool) if part.mask is None else part.mask
                for _, part in chosen
            ]
            mask = torch.cat([one.expand(B, -1) for one in masks], dim=1)[:, None, None, :]  # (B, 1, 1, S)
        spans, end = {}, 0
        for name, part in chosen:
            spans[name] = slice(end, end + part.x.shape[1])
            end += part.x.shape[1]
        return x, mask, spans

    def read_out(self, x: Tensor, patches: Mapping[str, slice]) -> tuple[Tensor, dict[str, Tensor]]:
        """The encoder's output (B, S, D) to logits (B, C), and logits of `Config.pointing` by modality.

        patches: where the patches of each modality with pictures are among S.
        """
        x = self.final_norm(x)
        logits = self.head(torch.tanh(self.pooler(x[:, 0])))  # (B, C)
        points = {}
        for name, where in patches.items() if self.pointing is not None else ():
            points[name] = self.pointing(x[:, where])  # (B, T, P)
            if self.read is not None:
                found = points[name][..., self.config.pointing.index(str(self.config.reading))].sigmoid()
                logits = logits + self.read(torch.einsum("bt,btd->bd", found, x[:, where]))
        return logits, points

    def stages(self) -> list[Stage]:
        """The network in stages, of which frozen ones need to be computed only once. The input is ids, mask and pixels.

        For networks of one text and one picture, in that order, with the texts of a batch padded to one length.
        """
        text, image = self.config.modalities

        def embed(ids: Tensor, mask: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
            seen = self.extract(image.name, pixels)
            x, joined, _ = self.join({text.name: self.extract(text.name, ids, mask), image.name: seen})
            assert joined is not None
            return x, joined[:, 0, 0]  # (B, S, D), (B, S)

        def last(x: Tensor, mask: Tensor) -> Tensor:
            places = image.places[0] * image.places[1]
            return self.read_out(x, {image.name: slice(x.shape[1] - places, x.shape[1])} if self.read else {})[0]

        ends = [self.final_norm, self.pooler, self.head, self.pointing, self.read]
        return [
            Stage(embed, (self.extractors,)),
            *(
                Stage(lambda x, mask, layer=layer: (layer(x, mask[:, None, None, :])[0], mask), (layer,))
                for layer in self.layers
            ),
            Stage(last, tuple(module for module in ends if module is not None)),
        ]


def _patches(span: slice, grid: tuple[int, int]) -> slice:
    """The patches of a picture: the last of its pieces, since there may be an extra one before them."""
    return slice(span.stop - grid[0] * grid[1], span.stop)
