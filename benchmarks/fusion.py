"""Picture and question in one Transformer: ViLT against transformers, ten questions at once, an answer over HTTP.

    python benchmarks/fusion.py [--quick] [--rounds 9] [--threads 2] [--seed N]

ViLT's weights are random, of the published size and layout: speed and memory do not depend on them. The answers of a
faster precision do, so those results hold for random weights only. Both peers get preprocessed pixels and token ids,
and the environment that the host sets (passive waiting). Peak memory is that of fresh processes, from their start to
the first answer. `--seed` is that of the scenes on which the embedded checkpoint is measured.
"""

# B batch, T tokens, C classes

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
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

sys.path[:0] = [str(ROOT), str(ROOT / "plugins" / "image_text_fusion")]

from demo_app import machine  # noqa: E402

if TYPE_CHECKING:
    from demo_app_image_text_fusion.answerer import Answerer
    from PIL import Image

HEIGHT, WIDTH, TOKENS, ANSWERS = 384, 512, 12, 3129
QUESTIONS, PICTURES = 200, 10  # on which precisions are compared
PRECISION = "DEMO_APP_IMAGE_TEXT_FUSION_PRECISION"
SCENES = ROOT / "plugins" / "image_text_fusion" / "demo_app_image_text_fusion" / "weights" / "scenes"


def main() -> int:
    if "--start" in sys.argv:
        return start(sys.argv[2], Path(sys.argv[3]))
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="blocks of each peer (default 9)")
    parser.add_argument("--threads", type=int, default=machine.cpus(), help="of torch (default: as CPUs)")
    parser.add_argument("--seed", type=int, default=20_000_003, help="of the scenes (default 20,000,003)")
    args = parser.parse_args()
    if importlib.util.find_spec("transformers") is None:
        raise SystemExit("transformers is not installed; pip install transformers")
    machine.prepare_environment(args.threads)
    rounds = 3 if args.quick else args.rounds
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        folder = publish(Path(name))
        results = [memory(folder, 1 if args.quick else 3, args.threads)]
        results += latencies(folder, rounds, args.threads)
        results += [ten_questions(folder, rounds)]
        remarks = precisions(folder, 20 if args.quick else QUESTIONS)
    results += [http(args.plugins_dir, rounds), *accuracy(args)]
    return report("Picture and question", results, *remarks, peer="peer")


def publish(folder: Path) -> Path:
    """ViLT for questions with random weights, as its repository has it, and a vocabulary of as many words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import ViltConfig, ViltForQuestionAnswering

    labels = {number: f"answer {number}" for number in range(ANSWERS)}
    config = ViltConfig(layer_norm_eps=1e-12, id2label=labels, label2id={name: i for i, name in labels.items()})
    config.architectures = ["ViltForQuestionAnswering"]
    torch.manual_seed(0)
    network = ViltForQuestionAnswering(config)
    for name, parameter in network.named_parameters():
        scale = "norm" in name.lower() and name.endswith("weight")
        parameter.data = torch.randn(parameter.shape) * (0.1 if scale else 0.04) + float(scale)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    words = {special.get(number, f"word{number}"): number for number in range(config.vocab_size)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 101), ("[SEP]", 102)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def question(seed: int) -> str:
    """Of 12 tokens, with the two at the ends."""
    numbers = random.Random(seed).choices(range(1000, 30_000), k=TOKENS - 2)
    return " ".join(f"word{number}" for number in numbers)


def picture(seed: int) -> Image.Image:
    """Coarse noise at the size at which ViLT reads it."""
    import numpy as np
    from PIL import Image

    small = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def ours(folder: Path, precision: str) -> Answerer:
    from demo_app_image_text_fusion.answerer import Answerer

    os.environ[PRECISION] = precision
    return Answerer.load(folder, "cpu")


def theirs(folder: Path) -> Any:
    from transformers import ViltForQuestionAnswering

    return ViltForQuestionAnswering.from_pretrained(folder, use_safetensors=False).eval()


# Memory


def start(which: str, folder: Path) -> int:
    """The process that is measured: import, load, one answer; prints its peak memory in MB and some logits."""
    import torch

    ids = torch.arange(2000, 2000 + TOKENS)[None]  # (1, T)
    pixels = torch.linspace(-1, 1, 3 * HEIGHT * WIDTH).view(1, 3, HEIGHT, WIDTH)
    network: Any
    with torch.inference_mode():
        if which == "theirs":
            network = theirs(folder)
            mask = torch.ones(1, HEIGHT, WIDTH, dtype=torch.long)
            logits = network(ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, pixel_mask=mask).logits
        else:
            network = ours(folder, which).network
            logits = network({"text": network.extract("text", ids), "image": network.extract("image", pixels)}).logits
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    sys.stdout.write(json.dumps({"peak": peak, "logits": logits[0, :50].tolist()}) + "\n")
    return 0


def memory(folder: Path, rounds: int, threads: int) -> Result:
    """Peaks of fresh processes, in turns. `SystemExit` where the two networks do not agree."""
    environment = clean_environment()
    machine.prepare_environment(threads, environment)
    peaks: dict[str, list[float]] = {"auto": [], "theirs": []}
    logits = {}
    for _ in range(rounds):
        for which, found in peaks.items():
            command = [sys.executable, __file__, "--start", which, str(folder)]
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise SystemExit(ended.stderr[-4000:])
            said = json.loads(ended.stdout.splitlines()[-1])
            found.append(said["peak"])
            logits[which] = said["logits"]
    apart = max(abs(a - b) for a, b in zip(logits["auto"], logits["theirs"], strict=True))
    if apart > 0.02 * max(map(abs, logits["theirs"])):
        raise SystemExit(f"the two networks do not agree: logits differ by {apart:.2g}")
    what = "ViLT, peak memory to the first answer (RSS), transformers"
    return compare(what, peaks["auto"], peaks["theirs"], "MB", "<= 0.8", note=f"logits {apart:.1e} apart")


# Speed


def latencies(folder: Path, rounds: int, threads: int) -> list[Result]:
    """One picture and question through the network, each precision beside transformers' single precision."""
    import torch

    torch.set_num_threads(threads)
    ids = torch.arange(2000, 2000 + TOKENS)[None]
    pixels = torch.linspace(-1, 1, 3 * HEIGHT * WIDTH).view(1, 3, HEIGHT, WIDTH)
    peer = theirs(folder)
    wholes = {"attention_mask": torch.ones_like(ids), "pixel_mask": torch.ones(1, HEIGHT, WIDTH, dtype=torch.long)}
    results = []
    for precision, least in (("fp32", 1.1), ("bf16", 1.8), ("int8", 1.8)):
        network = ours(folder, precision).network
        calls: dict[str, Callable[[], Any]] = {
            "ours": lambda network=network: network(
                {"text": network.extract("text", ids), "image": network.extract("image", pixels)}
            ),
            "theirs": lambda: peer(ids, pixel_values=pixels, **wholes),
        }
        with torch.inference_mode():
            times = in_turns(calls, rounds if precision != "bf16" or has_bf16() else 1, 3)
        what = f"ViLT, {HEIGHT} x {WIDTH}, {TOKENS} tokens, {precision}, transformers fp32"
        results.append(compare(what, times["ours"], times["theirs"], "ms", f"<= {1 / least:.3g}"))
    return results


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16; on others a pass takes seconds."""
    from demo_app.nn import precision

    return precision._has_bfloat16()


def ten_questions(folder: Path, rounds: int) -> Result:
    """About one picture, in one batch, and one by one."""
    answerer, shown = ours(folder, "auto"), picture(0)
    questions = [question(seed) for seed in range(10)]
    calls: dict[str, Callable[[], Any]] = {
        "together": lambda: answerer.ask(shown, questions),
        "alone": lambda: [answerer.ask(shown, [one]) for one in questions],
    }
    times = in_turns(calls, max(2, rounds // 2), 1)
    what = f"ViLT, ten questions about one picture, ten calls ({answerer.precision})"
    return compare(what, times["together"], times["alone"], "ms", "<= 0.5")


def precisions(folder: Path, count: int) -> list[str]:
    """How often the top answer stays the same, with random weights."""
    import torch

    per_picture = -(-count // PICTURES)
    asked = [(picture(p), [question(p * per_picture + q) for q in range(per_picture)]) for p in range(PICTURES)]
    found = {}
    for precision in ("fp32", "bf16", "int8") if has_bf16() else ("fp32", "int8"):
        answerer = ours(folder, precision)
        found[precision] = torch.cat([answerer.ask(shown, questions) for shown, questions in asked]).argmax(1)
    total, different = len(found["fp32"]), len(found["fp32"].unique())
    chosen = ours(folder, "auto").precision
    return [
        f"auto is {chosen} on this processor; random weights, {different} different answers to {total} questions",
        *(
            f"top answers of {name} that are those of fp32: {int((found[name] == found['fp32']).sum())} of {total}"
            for name in found
            if name != "fp32"
        ),
    ]


def http(plugins: Path, rounds: int) -> Result:
    """One question about a scene, answered by the embedded network over HTTP, beside an event that does nothing."""
    from demo_app_image_text_fusion.example import EXAMPLE
    from PIL import Image

    with (
        tempfile.NamedTemporaryFile(suffix=".png") as file,
        plugins_with_noop(plugins) as folder,
        serve_process(host_command(folder), DEMO_APP_PRELOAD="none") as host,
    ):
        Image.fromarray(EXAMPLE.pixels).save(file.name)
        file.seek(0)
        client = Client(host.url, "visitor")
        answer = httpx.post(f"{host.url}{API}/upload", files={"files": (file.name, file.read())}, timeout=60)
        shown = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
        asked = [shown, EXAMPLE.question, "scenes", "average", "average"]
        calls: dict[str, Callable[[], Any]] = {
            "ask": lambda: client.run("image_text_fusion_ask", asked),
            "noop": lambda: client.run("noop_unqueued", ["a"]),
        }
        for call in calls.values():
            for _ in range(10):
                call()
        times = in_turns(calls, rounds, 20)
    return compare("a scene's question over HTTP, a no-op", times["ask"], times["noop"], "ms", "<= 15", difference=True)


def accuracy(args: argparse.Namespace) -> list[Result]:
    """Of the embedded checkpoint, on scenes of a seed, beside the same network without eyes or ears."""
    from demo_app_image_text_fusion.evaluate import on_scenes

    answerer = ours(SCENES, "auto")
    found = on_scenes(answerer.network, answerer.tokenizer, args.seed, 500 if args.quick else 5000)
    return [
        Result(f"{name} questions of seed {args.seed}, {sense}", found[name], found[sense], "", found[name], 0.0, least)
        for name, sense, least in (("relational", "blind", ">= 0.96"), ("non_relational", "deaf", ">= 0.99"))
    ]


if __name__ == "__main__":
    raise SystemExit(main())
