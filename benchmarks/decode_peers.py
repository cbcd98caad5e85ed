"""A peer of `decode.py` in a process of its own: loads the model, then answers each line of JSON with one.

python benchmarks/decode_peers.py NAME FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT
from gpt2 import CONFIG, prompt, word

PLUGIN = ROOT / "plugins" / "decoder_generator"
sys.path[:0] = [str(ROOT), str(PLUGIN)]

if TYPE_CHECKING:
    import torch
    from demo_app_decoder_generator.model import Decoder

VISITORS = 8  # texts at once

Stamps = list[list[float]]  # of each text, the time of each token


def serve(name: str, folder: Path) -> int:
    """Answer requests on standard input until it ends."""
    write: Callable[[list[list[int]], int], tuple[Stamps, list[int]]]
    crowd: Callable[[int], float] | None = None
    if name == "transformers":
        write = transformers_peer(folder)
    elif name == "ctranslate2":
        write = ctranslate2_peer(folder)
    elif name == "openvino":
        write = openvino_peer(folder)
    else:
        write, crowd = our_own(folder, name.removeprefix("smollm2-"))
    say(loaded=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "crowd" in request:
            assert crowd is not None
            say(first=crowd(request["crowd"]))
            continue
        prompts = [prompt(number) for number in range(request["texts"])]
        started = time.perf_counter()
        stamps, ids = write(prompts, request["tokens"])
        first = max(times[0] for times in stamps)
        peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
        say(first=first - started, rest=max(times[-1] for times in stamps) - first, ids=ids[:8], peak=int(peak) * 1024)
    return 0


def say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def our_own(folder: Path, precision: str) -> tuple[Callable[[list[list[int]], int], Any], Callable[[int], float]]:
    from demo_app_decoder_generator.engine import Engine
    from demo_app_decoder_generator.sampling import Sampling

    greedy = Sampling(temperature=0)
    engine = Engine(network(folder, precision), rows=VISITORS + 1)
    pool = ThreadPoolExecutor(VISITORS)

    def one(ids: list[int], tokens: int) -> tuple[list[float], list[int]]:
        times, written = [], []
        for token in engine.write(ids, tokens, greedy):
            times.append(time.perf_counter())
            written.append(token.id)
        return times, written

    def write(prompts: list[list[int]], tokens: int) -> tuple[Stamps, list[int]]:
        found = list(pool.map(lambda ids: one(ids, tokens), prompts))
        return [times for times, _ in found], found[0][1]

    def crowd(others: int) -> float:
        """Seconds to the first token of a text that starts while that many others are generated."""
        ready = threading.Barrier(others + 1)
        texts = [engine.write(prompt(number), 900, greedy) for number in range(others)]

        def follow(text: Any) -> None:
            for number, _ in enumerate(text):
                if number == 2:
                    ready.wait()

        threads = [threading.Thread(target=follow, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        ready.wait()
        started = time.perf_counter()
        next(iter(engine.write(prompt(99), 1, greedy)))
        took = time.perf_counter() - started
        for text in texts:
            text.stop()
        for thread in threads:
            thread.join()
        return took

    return write, crowd


def network(folder: Path, precision: str) -> Decoder:
    """The network as the plugin loads it, without a tokenizer."""
    from demo_app_decoder_generator import published
    from demo_app_decoder_generator.model import Decoder

    from demo_app.nn import int8, weights

    fields = json.loads((folder / "config.json").read_text("utf-8"))
    with weights.empty_weights():
        found = Decoder(published.config_of(fields))
    tensors = published.renamed(weights.read(folder / "model.safetensors"), fields["model_type"])
    weights.fill(found, tensors, str(folder))
    found = found.eval().requires_grad_(False)
    return int8.to_int8(found) if precision == "int8" else found


def transformers_peer(folder: Path) -> Callable[[list[list[int]], int], tuple[Stamps, list[int]]]:
    import torch
    from transformers import GPT2LMHeadModel, StoppingCriteria, StoppingCriteriaList

    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa").eval()

    class Clock(StoppingCriteria):
        def __init__(self) -> None:
            self.times: list[float] = []

        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            self.times.append(time.perf_counter())
            return torch.zeros(len(input_ids), dtype=torch.bool)

    def write(prompts: list[list[int]], tokens: int) -> tuple[Stamps, list[int]]:
        clock, ids = Clock(), torch.tensor(prompts)
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                pad_token_id=CONFIG["eos_token_id"],
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        return [clock.times], out[0, ids.shape[1] :].tolist()

    return write


def convert(folder: Path, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder)).convert(str(target), quantization="int8")
    shutil.copy(folder / "vocab.json", target / "words.json")


def ctranslate2_peer(folder: Path) -> Callable[[list[list[int]], int], tuple[Stamps, list[int]]]:
    import ctranslate2

    threads = int(os.environ["OMP_NUM_THREADS"])
    generator = ctranslate2.Generator(str(folder), compute_type="int8", inter_threads=1, intra_threads=threads)

    def write(prompts: list[list[int]], tokens: int) -> tuple[Stamps, list[int]]:
        stamps: Stamps = [[] for _ in prompts]
        written: list[int] = []

        def came(step: Any) -> bool:
            stamps[step.batch_id].append(time.perf_counter())
            if step.batch_id == 0:
                written.append(step.token_id)
            return False

        generator.generate_batch(
            [[word(i) for i in ids] for ids in prompts],
            max_batch_size=0,
            beam_size=1,
            sampling_topk=1,
            min_length=tokens,
            max_length=tokens,
            end_token=[],
            include_prompt_in_result=False,
            callback=came,
        )
        return stamps, written

    return write


def openvino_peer(folder: Path) -> Callable[[list[list[int]], int], tuple[Stamps, list[int]]]:
    import numpy as np
    import openvino
    import openvino_genai

    settings = {"INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"]), "PERFORMANCE_HINT": "LATENCY"}
    pipe = openvino_genai.LLMPipeline(str(folder), "CPU", **settings)

    def write(prompts: list[list[int]], tokens: int) -> tuple[Stamps, list[int]]:
        config = openvino_genai.GenerationConfig(
            max_new_tokens=tokens, min_new_tokens=tokens, ignore_eos=True, do_sample=False, apply_chat_template=False
        )
        inputs = openvino.Tensor(np.array(prompts, dtype=np.int64))
        masked = openvino_genai.TokenizedInputs(inputs, openvino.Tensor(np.ones_like(inputs.data)))
        begun = time.perf_counter()
        result = pipe.generate(masked, config)
        metrics = result.perf_metrics
        first = begun + metrics.get_ttft().mean / 1e3
        rest = metrics.get_tpot().mean / 1e3 * (tokens - 1)
        return [[first, first + rest]], list(result.tokens[0])

    return write


if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], Path(sys.argv[2])))
