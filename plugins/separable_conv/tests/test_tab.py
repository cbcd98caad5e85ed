"""The tab over HTTP, as the page and other programs use it; the embedded networks, the real host."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_app_separable_conv import views
from demo_app_separable_conv.classifier import Classifier
from demo_app_separable_conv.example import BLOCK, example
from demo_app_separable_conv.explain import look, look_inside, write_out
from demo_app_separable_conv.lessons import ASSETS, lessons
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demo_app.inputs.pictures import open_picture
from demo_app.serving.server import Server
from demo_app.testing import DemoHost

ROOT = Path(__file__).resolve().parents[3]
CAT, HORSE = ASSETS / "cat.jpg", ASSETS / "horse.png"
MAX_ROWS = 60


@pytest.fixture(scope="module")
def demo_settings() -> dict[str, Any]:
    return {"max_rows": MAX_ROWS}


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


@pytest.fixture(scope="module")
def client(demo_host: DemoHost) -> Client:
    return demo_host.client


def call(client: Client, action: str, *args: Any) -> Any:
    return client.predict(*args, api_name=f"/separable_conv_{action}")


def classify(client: Client, path: Path, checkpoint: str = "cifar10") -> dict[str, float]:
    answer, _ = call(client, "classify", handle_file(path), checkpoint)
    return {entry["label"]: entry["confidence"] for entry in answer["confidences"]}


def refused(client: Client, path: Path) -> str:
    with pytest.raises(AppError) as caught:
        classify(client, path)
    return str(caught.value)


def test_every_action_has_a_name_and_says_what_it_takes_and_returns(server: Server) -> None:
    fns = [fn for fn in server.app.blocks.fns.values() if str(fn.api_name).startswith("separable_conv_")]
    public = {fn.api_name.removeprefix("separable_conv_"): fn for fn in fns if fn.api_visibility == "public"}
    hosts = ("fetch", "cancel_fetch", "use_folder")
    public = {name: fn for name, fn in public.items() if name not in hosts and not name.startswith("finetune")}
    assert set(public) == {
        *("classify", "example", "look", "filters", "mix", "attend"),
        *("count", "measure", "measure_widths", "twins", "classify_files"),
    }
    for fn in public.values():
        assert "Args:" in fn.fn.__doc__
        assert "Returns:" in fn.fn.__doc__


def test_the_tab_stays_small(server: Server) -> None:
    (own,) = [t.blocks for t in server.app.tabs if t.name == "separable_conv"]
    assert len(own.blocks) < 140  # each costs every new session time and memory; layout rows included


def test_classify_gives_the_networks_probabilities(client: Client, embedded: Classifier) -> None:
    expected = dict(look(embedded, open_picture(CAT, at_least=embedded.at_least)).best())
    assert classify(client, CAT) == pytest.approx(expected, abs=1e-5)
    _, card = call(client, "classify", handle_file(CAT), "cifar10")
    assert re.search(r"cifar10 · 0\.\d+ M parameters · forward pass [\d.]+ ms · it sees 32 × 32 pixels", card)


def test_every_example_is_answered_and_teaches_something(client: Client) -> None:
    for number, lesson in enumerate(lessons()):
        shown, answer, card = call(client, "example", number, "cifar10")
        assert Path(shown).read_bytes() == lesson.path.read_bytes()  # not encoded anew: a click would answer otherwise
        assert views.viz.escape(lesson.lesson) in card
        assert answer["label"] == next(iter(classify(client, Path(shown))))
    with pytest.raises(AppError, match="There is no example 99"):
        call(client, "example", 99, "cifar10")


def test_where_it_looked_is_a_pair_of_pictures_for_each_label_and_block(client: Client) -> None:
    classify(client, CAT)
    plain, marked = call(client, "look", "cat", "8")
    with Image.open(plain) as one, Image.open(marked) as other:
        assert one.size == other.size == (384, 384)
    pictures = {Path(call(client, "look", label, block)[1]).read_bytes() for label in ("cat", "dog") for block in "38"}
    assert len(pictures) == 4
    with pytest.raises(AppError, match="no label"):
        call(client, "look", "unicorn", "8")
    with pytest.raises(AppError, match="There is no block"):
        call(client, "look", "cat", "99")


def test_the_sum_is_the_networks_own_number(client: Client, embedded: Classifier) -> None:
    classify(client, HORSE)
    seen = look(embedded, open_picture(HORSE, at_least=embedded.at_least))
    inside = look_inside(embedded.network, embedded.read(seen.pixels), 2)
    assert inside is not None
    written = write_out(inside, 5, 1, 3)
    shown = call(client, "mix", "3", 5, 1, 3)
    found = re.search(r"The network computed (\S+) there, the sum above is (\S+)\.", shown)
    assert found is not None
    assert float(found[1]) == pytest.approx(written.network, abs=1e-4)
    assert float(found[2]) == pytest.approx(written.network, abs=1e-4)
    assert views.formula(written) in shown
    with pytest.raises(AppError, match="There is no column 999"):
        call(client, "mix", "3", 5, 0, 999)


def test_before_the_first_click_everything_is_of_the_pages_example(server: Server) -> None:
    fresh = Client(server.url, verbose=False)
    filters, mixed, written = call(fresh, "filters", str(BLOCK + 1))
    assert filters == views.filters_view(example().inside)
    assert mixed == views.mixed_view(example().inside, 0)
    assert written == views.sum_view(example().inside, write_out(example().inside, 0))


def test_a_standard_convolution_says_that_it_has_no_halves(client: Client) -> None:
    classify(client, CAT, "cifar10_dense")
    assert "standard convolution" in call(client, "filters", "2")[0]
    with pytest.raises(AppError, match="choose a separable checkpoint"):
        call(client, "mix", "2", 0, None, None)


def test_attention_of_a_place_is_shown_and_said(client: Client) -> None:
    classify(client, CAT)
    picture, said = call(client, "attend", 0.0, 1.0)
    assert "Row 7, column 0 (framed) looks most at" in said
    other, _ = call(client, "attend", 0.99, 0.0)
    assert Path(picture).read_bytes() != Path(other).read_bytes()
    for across in (-0.1, 1.5):
        with pytest.raises(AppError, match="across is"):
            call(client, "attend", across, 0.5)


def test_the_calculator_counts_and_measures(client: Client) -> None:
    counted = call(client, "count", 3, 128, 128, 28)
    assert "115.6 M" in counted
    assert "13.7 M" in counted
    assert "1 / 128 + 1 / 9 = 0.119" in counted
    measured = call(client, "measure", 3, 32, 32, 14)
    assert "Milliseconds on this machine" in measured
    assert "Counted, the separable one should take 14%" in measured
    with pytest.raises(AppError, match="The kernel is 4"):
        call(client, "count", 4, 1, 1, 1)
    with pytest.raises(AppError, match="make it smaller"):
        call(client, "measure", 7, 512, 512, 112)


def test_the_plot_over_widths_has_both_ratios(client: Client) -> None:
    plot, _ = call(client, "measure_widths", 3, 7)
    rows = plot["value"]["data"] if "value" in plot else plot["data"]
    assert {row[0] for row in rows} == {16, 32, 64, 128, 256}
    assert {row[2] for row in rows} == {"counted", "measured"}
    assert all(row[1] > 0 for row in rows)


def test_the_twins_answer_and_what_they_cost_is_said(client: Client) -> None:
    shown = call(client, "twins", handle_file(HORSE))
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", shown)]
    says, _, accuracies, parameters, adds, files, times = cells
    assert says[0] == "horse"
    assert all(float(share.rstrip("%")) > 80 for share in accuracies)
    assert float(parameters[1].split()[0]) * 1000 > 6 * float(parameters[0].split()[0])  # M against k
    assert float(adds[1].split()[0]) > 6 * float(adds[0].split()[0])
    assert all(float(size.split()[0]) < 4 for size in files)
    assert all(float(time.split()[0]) > 0 for time in times)


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_an_archive_comes_back_as_a_table_and_a_grid(client: Client, tmp_path: Path) -> None:
    cat, horse = CAT.read_bytes(), HORSE.read_bytes()
    files = {"set/cat/1.jpg": cat, "set/horse/2.png": horse, "set/horse/3.jpg": cat, "set/cat/bad.jpg": b"\xff\xd8\xff"}
    result, summary = call(client, "classify_files", [handle_file(packed(tmp_path / "set.zip", files))], "cifar10")
    with open(result, encoding="utf-8-sig", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert {name: row["label"] for name, row in rows.items()} == {
        "set/cat/1.jpg": "cat",
        "set/cat/bad.jpg": "",
        "set/horse/2.png": "horse",
        "set/horse/3.jpg": "cat",
    }
    assert "66.7% of 3 pictures" in summary
    assert "Folder (row) and answer (column)" in summary
    assert "damaged" in rows["set/cat/bad.jpg"]["problem"]


def test_single_pictures_need_no_archive(client: Client) -> None:
    result, summary = call(client, "classify_files", [handle_file(CAT), handle_file(HORSE)], "cifar10")
    with open(result, encoding="utf-8-sig", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["cat", "horse"]
    assert "Answers to 2 pictures" in summary
    assert "Folder (row)" not in summary


def test_the_table_of_the_pictures_before_goes_when_others_are_classified(client: Client) -> None:
    job = client.submit([handle_file(CAT)], "cifar10", api_name="/separable_conv_classify_files")
    job.result()
    (file, progress), *_ = job.outputs()
    assert file is None
    assert "0 of 1 pictures" in progress


@pytest.mark.parametrize(("name", "place"), [("Channel", (-1, 0, 0)), ("Row", (0, -1, 0)), ("Column", (0, 0, -1))])
def test_a_place_counts_from_zero(client: Client, name: str, place: tuple[int, int, int]) -> None:
    classify(client, CAT)
    with pytest.raises(AppError, match=f"{name} is -1; give a whole number from 0 up"):
        call(client, "mix", "3", *place)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header declares so many white pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = zlib.compress(bytes(1 + width) * min(height, 100))
    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


BAD = {
    "truncated.jpg": (CAT.read_bytes()[:5000], "damaged or not complete"),
    "empty.png": (b"", "empty"),
    "bomb.png": (bomb(30_000, 30_000), "900 million, and the limit is 50 million"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "text.png": (b"this is text\n" * 50, "text"),
    "archive.jpg": (b"PK\x03\x04" + bytes(100), "JPEG, PNG"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_said_in_a_sentence(client: Client, tmp_path: Path, name: str) -> None:
    data, sentence = BAD[name]
    (tmp_path / name).write_bytes(data)
    assert sentence in refused(client, tmp_path / name)
    assert classify(client, CAT)  # and the tab is none the worse


def odd_pictures() -> dict[str, bytes]:
    """Unusual files that show the cat."""
    with Image.open(CAT) as cat:
        cat = cat.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side: turn it clockwise
    grey = np.asarray(cat.convert("L")).astype(np.uint16) * 257
    frames = [cat.rotate(turn).quantize() for turn in (0, 90, 180)]
    clear = cat.convert("RGBA")
    clear.putalpha(255)
    return {
        "cmyk.jpg": encoded(cat.convert("CMYK"), "JPEG"),
        "rotated.jpg": encoded(cat.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95),
        "moving.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "deep.png": encoded(Image.fromarray(grey), "PNG"),
        "palette.png": encoded(cat.quantize(), "PNG", transparency=0),
        "clear.png": encoded(clear, "PNG"),
        "web.webp": encoded(cat, "WEBP"),
        "old.bmp": encoded(cat, "BMP"),
        "print.tif": encoded(cat, "TIFF"),
    }


ODD = odd_pictures()


@pytest.mark.parametrize("name", ODD)
def test_unusual_files_show_what_they_show(client: Client, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ODD[name])
    assert next(iter(classify(client, tmp_path / name))) == "cat"


@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (3, 5000)])
def test_unusual_shapes_are_answered_and_drawn(client: Client, tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "odd.png").write_bytes(encoded(Image.new("RGB", size, "teal"), "PNG"))
    best = next(iter(classify(client, tmp_path / "odd.png")))
    call(client, "look", best, "8")
    call(client, "filters", "1")


def climbing(path: Path) -> Path:
    return packed(path, {"../../outside.png": HORSE.read_bytes(), "in.png": HORSE.read_bytes()})


def exploding(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(20):
            archive.writestr(f"{i}.png", bytes(40_000_000))
    return path


def linked(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("secret.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return path


def crowded(path: Path) -> Path:
    return packed(path, {f"{i}.png": HORSE.read_bytes() for i in range(MAX_ROWS + 1)})


ARCHIVES = {
    "climbing.zip": (climbing, "climb"),
    "bomb.zip": (exploding, "bomb|unpacks|larger|compressed"),
    "link.tar": (linked, "link"),
    "many.zip": (crowded, f"61 pictures and the limit is {MAX_ROWS}"),
    "empty.zip": (lambda path: packed(path, {"readme.md": b"hello"}), "holds no picture"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_means_harm_is_refused(client: Client, tmp_path: Path, name: str) -> None:
    make, sentence = ARCHIVES[name]
    with pytest.raises(AppError, match=sentence):
        call(client, "classify_files", [handle_file(make(tmp_path / name))], "cifar10")
    assert not list(tmp_path.parent.glob("outside*"))


def test_nothing_but_uploads_can_be_read(server: Server, client: Client) -> None:
    secret = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    for action, arguments in (("classify", (secret, "cifar10")), ("twins", (secret,))):
        with pytest.raises(AppError) as caught:
            call(client, action, *arguments)
        assert "root:" not in str(caught.value)


def test_no_picture_and_no_such_checkpoint_are_said(client: Client) -> None:
    for arguments, sentence in (((None, "cifar10"), "Nothing is uploaded yet"),):
        with pytest.raises(AppError, match=sentence):
            call(client, "classify", *arguments)
    with pytest.raises(AppError, match="has no checkpoint 'nope'"):
        call(client, "classify", handle_file(CAT), "nope")
    with pytest.raises(AppError, match="no pictures yet"):
        call(client, "classify_files", None, "cifar10")


def test_each_embedded_checkpoint_says_how_good_it_is() -> None:
    for name in ("cifar10", "cifar10_dense", "cifar10_attention"):
        folder = ASSETS.parent / "weights" / name
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        assert f"{metrics['accuracy']:.2%}".rstrip("%") in (folder / "README.md").read_text("utf-8")
