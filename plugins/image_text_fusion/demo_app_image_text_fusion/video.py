"""A clip and a question: evenly spaced frames, an answer for each, and one answer for the clip.

PyAV (FFmpeg) decodes. The packets are listed first, without decoding: that gives the keyframes, and the length of files
whose header lacks it, such as those that browsers record.
"""

# F frames, C answers

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo_app import InputError

if TYPE_CHECKING:
    from demo_app_image_text_fusion.answerer import Answerer

Array = NDArray[np.float32]

MAX_SECONDS = 600.0
"""Length of the longest clip."""

MAX_PIXELS = 4096 * 2304
"""Width x height of the largest frame."""

MAX_FRAMES = 32
"""Frames that are answered."""

MAX_WORK = 60.0
"""Seconds that decoding may take; a clip that takes longer has too many pixels between two keyframes."""

FORMATS = "mov,matroska,avi,gif,mpegts,mpeg,ogg,flv,asf"  # no playlists, which refer to other files and addresses
SAFE = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}


@dataclass(frozen=True)
class Frame:
    """The picture on the screen at a time."""

    seconds: float  # from the start
    picture: Image.Image  # RGB, upright


@dataclass(frozen=True)
class Moment:
    """The answer to a frame."""

    seconds: float
    scores: Array  # (C,)


@dataclass(frozen=True)
class Contents:
    """A clip's length and keyframes, from its packets."""

    start: int  # in ticks
    end: int
    keys: tuple[int, ...]  # times of the keyframes, at which decoding can begin
    tick: float  # in seconds

    @property
    def seconds(self) -> float:
        return (self.end - self.start) * self.tick


def contents(path: Path) -> Contents:
    """Length and keyframes of a clip; decodes nothing.

    Raises `InputError` for a file that is not a video, has no frames, is too long or too large.
    """
    with _opened(path) as container:
        stream = _stream(container)
        packets = [
            (ticks, packet.duration or 0, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and (ticks := packet.dts if packet.pts is None else packet.pts) is not None
        ]
        if not packets:
            raise InputError("The clip has no frames; choose another.")
        start, end = min(at for at, _, _ in packets), max(at + lasts for at, lasts, _ in packets)
        assert stream.time_base is not None
        found = Contents(start, end, tuple(sorted(at for at, _, key in packets if key)), float(stream.time_base))
    if found.seconds > MAX_SECONDS:
        length, limit = (f"{seconds // 60:.0f}:{seconds % 60:02.0f}" for seconds in (found.seconds, MAX_SECONDS))
        raise InputError(
            "The clip is {length} long (minutes:seconds) and the limit is {limit}; cut it.", length=length, limit=limit
        )
    return found


def frames(path: Path, count: int, *, at_least: int) -> Iterator[Frame]:
    """The frames in the middle of `count` equal parts of the clip, each once: fewer if it has fewer.

    `at_least`: pixels that the shorter side keeps. Raises `InputError` as `contents` does, and for a damaged clip that
    gives no frame at all.
    """
    if not 1 <= count <= MAX_FRAMES:
        raise InputError("{count} frames cannot be looked at; choose 1 to {most}.", count=count, most=MAX_FRAMES)
    clip = contents(path)
    length = max(clip.end - clip.start, 1)
    wanted = [clip.start + int(length * (i + 0.5) / count) for i in range(count)]
    given: set[int] = set()
    with _opened(path) as container:
        stream = _stream(container)
        stream.thread_type = "AUTO"
        for at, frame in _on_screen(container, stream, wanted, clip.keys):
            if at not in given:
                given.add(at)
                yield Frame((at - clip.start) * clip.tick, _picture(frame, stream, at_least))
    if not given:
        raise InputError("The clip is damaged and gives no frame; export it again.")


def _on_screen(
    container: av.container.InputContainer, stream: av.VideoStream, wanted: Sequence[int], keys: Sequence[int]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """For each wanted time, the last frame that begins before it. Skips to the nearest keyframe where there is one."""
    started = time.monotonic()
    decoded = _decoded(container, stream)
    now, ahead = next(decoded, (0, None)), None
    for target in wanted:
        if now[1] is None:
            return
        key = keys[bisect_right(keys, target) - 1] if keys else now[0]
        if key > now[0] and (ahead is None or key > ahead[0]):
            container.seek(key, stream=stream)
            decoded = _decoded(container, stream)
            now, ahead = next(decoded, now), None
        while True:
            ahead = ahead or next(decoded, None)
            if ahead is None or ahead[0] > target:
                break
            now, ahead = ahead, None
            if time.monotonic() - started > MAX_WORK:
                raise InputError("Decoding the clip takes too long; make it shorter or smaller.")
        assert now[1] is not None
        yield now[0], now[1]


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """Frames with their times, up to the end of the clip or to where it is damaged."""
    try:
        for frame in container.decode(stream):
            at = frame.dts if frame.pts is None else frame.pts
            if at is not None:
                yield at, frame
    except av.error.FFmpegError:
        return


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path), options=SAFE)
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError("This file is no video that can be read; use an MP4, WebM, MOV, MKV, AVI or GIF.") from error


def _stream(container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise InputError("This file has no moving picture; use an MP4, WebM, MOV, MKV, AVI or GIF.")
    stream = container.streams.video[0]
    if not 0 < stream.width * stream.height <= MAX_PIXELS:
        raise InputError(
            "The clip has {width} x {height} pixels and the limit is {limit} in all; shrink it.",
            width=stream.width,
            height=stream.height,
            limit=f"{MAX_PIXELS:,}",
        )
    return stream


def _picture(frame: av.VideoFrame, stream: av.VideoStream, at_least: int) -> Image.Image:
    """The frame as RGB, upright, with square pixels, no larger than needed."""
    width, height = float(frame.width), float(frame.height)
    if stream.sample_aspect_ratio:
        width *= float(stream.sample_aspect_ratio)
    scale = min(1.0, at_least / min(width, height))
    size = {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}
    pixels = frame.to_ndarray(format="rgb24", interpolation="AREA" if scale < 1 else "BICUBIC", **size)
    return Image.fromarray(np.rot90(pixels, k=round(frame.rotation / 90)).copy())


def watch(answerer: Answerer, clip: Iterator[Frame], question: str) -> Iterator[Moment]:
    """The answer to each frame, as soon as it is known; the question is read once."""
    heard = answerer.listen([question])
    for frame in clip:
        scores = answerer.scores(answerer.fuse(answerer.look(frame.picture), heard).logits)[0]
        yield Moment(frame.seconds, scores.float().cpu().numpy())


def overall(moments: Sequence[Moment]) -> Array:
    """(C,), one answer for the clip: the mean of all frames' scores.

    The simplest way to read a clip with a network for pictures: each frame has one vote, and their order is ignored.
    """
    mean: Array = np.mean([moment.scores for moment in moments], axis=0, dtype=np.float32)
    return mean
