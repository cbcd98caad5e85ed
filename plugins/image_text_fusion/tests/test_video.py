"""Clips are written with PyAV, read back, and asked about."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from demo_app_image_text_fusion import video
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.video import Frame, contents, frames, overall, watch
from PIL import Image

from demo_app import InputError

SUFFIXES = (".mp4", ".webm", ".avi", ".gif", ".mkv", ".mov")
Write = Callable[..., Path]


def brightness(frame: Frame) -> float:
    return float(np.asarray(frame.picture).mean()) / 255


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_are_the_middles_of_equal_parts(write_clip: Write, tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}", 41)
    found = list(frames(clip, 4, at_least=48))
    assert [frame.seconds for frame in found] == pytest.approx([0.5125, 1.5375, 2.5625, 3.5875], abs=0.11)
    for frame in found:  # what is on the screen then
        assert brightness(frame) == pytest.approx(frame.seconds / 4.0, abs=0.08)
    assert (found[0].picture.mode, found[0].picture.size) == ("RGB", (64, 48))


@pytest.mark.parametrize("group", [1, 7, 1000])
def test_jumping_and_decoding_through_give_the_same(write_clip: Write, tmp_path: Path, group: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 90, group=group)
    found = list(frames(clip, 9, at_least=48))
    assert [frame.seconds for frame in found] == pytest.approx([0.5 + i for i in range(9)], abs=0.01)
    assert [brightness(frame) for frame in found] == pytest.approx([(5 + 10 * i) / 89 for i in range(9)], abs=0.03)


def test_a_recording_that_does_not_say_its_length_is_measured(write_clip: Write, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.webm", 30)
    recorded = tmp_path / "recorded.webm"
    with open(recorded, "wb") as file, av.open(str(whole)) as source, av.open(Pipe(file), "w", format="webm") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(recorded)) as container:
        assert container.duration is None  # else the test shows nothing
    assert contents(recorded).seconds == pytest.approx(3.0, abs=0.15)
    assert len(list(frames(recorded, 5, at_least=48))) == 5


class Pipe:
    """A file that cannot seek, like the output of a browser's recorder."""

    def __init__(self, file: object) -> None:
        self.write = file.write  # type: ignore[attr-defined]


def test_a_clip_with_fewer_frames_gives_each_once(write_clip: Write, tmp_path: Path) -> None:
    assert len(list(frames(write_clip(tmp_path / "clip.mp4", 3), 8, at_least=48))) == 3
    assert len(list(frames(write_clip(tmp_path / "one.mp4", 1), 8, at_least=48))) == 1


def test_frames_are_no_larger_than_needed(write_clip: Write, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5, size=(640, 320))
    (found,) = frames(clip, 1, at_least=64)
    assert found.picture.size == (128, 64)


def test_a_clip_from_a_phone_is_upright(write_clip: Write, tmp_path: Path) -> None:
    def top(number: int, count: int, size: tuple[int, int]) -> np.ndarray:
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[:, : size[0] // 2] = 255  # the left half of what is stored is the top of what was seen
        return pixels

    clip = write_clip(tmp_path / "clip.mp4", 5, paint=top)
    stored = clip.read_bytes()
    turned = bytes.fromhex(
        "00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000".replace(" ", "")
    )
    straight = bytes.fromhex(
        "00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000".replace(" ", "")
    )
    place = stored.index(b"tkhd")
    place = stored.index(straight, place)  # the matrix of the track
    clip.write_bytes(stored[:place] + turned + stored[place + len(straight) :])
    (found,) = frames(clip, 1, at_least=48)
    assert found.picture.size == (48, 64)
    pixels = np.asarray(found.picture)
    assert pixels[:24].mean() > 200 > 60 > pixels[40:].mean()


def test_a_clip_that_breaks_off_gives_what_it_has(write_clip: Write, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 90, size=(320, 240))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert 1 <= len(list(frames(broken, 8, at_least=48))) <= 8


def test_two_hours_are_refused_before_anything_is_decoded(write_clip: Write, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 120, rate=Fraction(1, 60))
    with pytest.raises(InputError, match=r"120:00 long .* limit is 10:00; cut it"):
        list(frames(clip, 4, at_least=48))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.mp4", b"this is no video\n" * 100),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
        ("list.txt", b"ffconcat version 1.0\nfile clip.mp4\n"),
    ],
)
def test_what_is_no_video_is_refused(write_clip: Write, tmp_path: Path, name: str, content: bytes) -> None:
    write_clip(tmp_path / "clip.mp4", 3)
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError, match="no video"):
        list(frames(file, 4, at_least=48))


def test_a_sound_has_no_moving_picture(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no moving picture"):
        list(frames(path, 4, at_least=48))


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(InputError, match=r"no frames|no video"):
        list(frames(path, 4, at_least=48))


def test_frames_that_are_too_large_are_refused(
    write_clip: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    monkeypatch.setattr(video, "MAX_PIXELS", 1000)
    with pytest.raises(InputError, match="64 x 48 pixels and the limit is 1,000"):
        list(frames(clip, 1, at_least=48))


@pytest.mark.parametrize("count", [0, 33])
def test_a_wrong_number_of_frames_is_refused(write_clip: Write, tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError, match="choose 1 to 32"):
        list(frames(write_clip(tmp_path / "clip.mp4", 3), count, at_least=48))


def test_a_clip_is_answered_frame_by_frame_and_as_a_whole(
    write_clip: Write, tmp_path: Path, answerer: Answerer
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 20)
    question = "how many circles are there?"
    moments = list(watch(answerer, frames(clip, 4, at_least=answerer.at_least), question))
    pictures = [frame.picture for frame in frames(clip, 4, at_least=answerer.at_least)]
    alone = [answerer.ask(picture, [question])[0].numpy() for picture in pictures]
    for moment, scores in zip(moments, alone, strict=True):
        np.testing.assert_allclose(moment.scores, scores, atol=1e-5)
    np.testing.assert_allclose(overall(moments), np.mean(alone, axis=0), atol=1e-5)
    assert overall(moments).sum() == pytest.approx(1, abs=1e-4)
    assert isinstance(pictures[0], Image.Image)
