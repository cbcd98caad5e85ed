"""The host on ZeroGPU: a real process; its `spaces` is the stand-in in `zerogpu/`, which really forks and pickles."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from plugins_on_disk import ROOT, Plugins

from demo_app.serving import client

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a Space is a Linux machine"),
]

WHERE = """
    import os
    import time
    from pathlib import Path
    from demo_app import Checkpoint, Demo, InputError, hookimpl
    from demo_app.i18n import say

    WORDS = {"Step {number} in {place}.": "第 {number} 步，在{place}。", "a copy": "副本"}
    WORDS |= {"Not {what}.": "不行：{what}。"}

    class Model:
        def __init__(self, device):
            self.device, self.loaded_by = device, os.getpid()

    def build(handle):
        import gradio as gr

        def where():
            with handle.use() as model:
                return f"{model.device} {model.loaded_by} {os.getpid()}"

        def who(request: gr.Request):
            return f"{request.session_hash} {request.query_params} {type(request.headers).__name__}"

        def what(event: gr.EventData):
            return event.token

        def slow(path, progress=gr.Progress()):
            progress(0.5, desc="half")
            while not Path(path).exists():  # until somebody has seen it
                time.sleep(0.01)
            return "done"

        def remember(text, said):
            said = [*said, text]
            return " ".join(said), said

        def fail():
            raise RuntimeError("the secret path /etc/shadow")

        def refuse():
            raise InputError("Not that.")

        def speak(text):
            for number in range(2):
                yield say("Step {number} in {place}.", number=number, place="a copy")
            if text:
                raise InputError("Not {what}.", what=text)

        async def wait():
            return str(os.getpid())

        def count(path):
            try:
                for number in range(10**9):
                    yield str(number)
            finally:
                Path(path).write_text("closed")

        text, out, said = gr.Textbox(label="Text"), gr.Textbox(label="Out"), gr.State([])
        gr.Button("a").click(where, None, out, api_name="queued")
        gr.Button("b").click(where, None, out, api_name="quick", queue=False)
        gr.Button("c").click(who, None, out, api_name="who")
        gr.Button("d").click(what, None, out, api_name="what")
        gr.Button("e").click(slow, text, out, api_name="slow")
        gr.Button("f").click(remember, [text, said], [out, said], api_name="remember")
        gr.Button("g").click(fail, None, out, api_name="fail")
        gr.Button("h").click(refuse, None, out, api_name="refuse")
        gr.Button("i").click(wait, None, out, api_name="wait")
        gr.Button("j").click(count, text, out, api_name="count")
        gr.Button("k").click(speak, text, out, api_name="speak")

    def build_own(handle):
        import gradio as gr

        def adopt(folder):
            return handle.models.add_own(handle.demo, Path(folder), title="mine", visitor="me").name

        def where(name):
            with handle.use(name) as model:
                return f"{model.device} {os.getpid()}"

        name, out = gr.Textbox(label="Name"), gr.Textbox(label="Out")
        gr.Button("a").click(adopt, name, out, api_name="adopt", queue=False)
        gr.Button("b").click(where, name, out, api_name="quick", queue=False)
        gr.Button("c").click(where, name, out, api_name="queued")

    @hookimpl
    def register_demos():
        load = lambda folder, device: Model(device)
        theirs = Checkpoint(name="theirs", title="Theirs", folder=Path(__file__).parent, files=("pyproject.toml",))
        return [
            Demo(name="gpu", title="GPU", summary="Says where.", load=load, build=build, translations={"zh-CN": WORDS}),
            Demo(name="own", title="Own", summary="Says where.", load=load, build=build_own, checkpoints=(theirs,)),
        ]
"""


@dataclass(frozen=True)
class Host:
    """A running host process."""

    url: str
    pid: int
    log: Path

    def ask(
        self, action: str, *data: Any, session: str = "one", event_data: Any = None, language: str = "en"
    ) -> Iterator[dict[str, Any]]:
        """What the queue tells of an event, as a page hears it; `data` has a place for each input, states too."""
        numbers = {event["api_name"]: event["id"] for event in client.config(self.url)["dependencies"]}
        body = {"data": data, "fn_index": numbers[action], "session_hash": session, "event_data": event_data}
        headers = {"accept-language": language}
        httpx.post(f"{self.url}gradio_api/queue/join", json=body, headers=headers, timeout=60).raise_for_status()
        about = {"session_hash": session}
        with httpx.stream("GET", f"{self.url}gradio_api/queue/data", params=about, timeout=60) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def answer(self, action: str, *data: Any, **how: Any) -> list[Any]:
        (done,) = (said for said in self.ask(action, *data, **how) if said["msg"] == "process_completed")
        assert done["success"], done
        return done["output"]["data"]


@contextlib.contextmanager
def on_zerogpu(folder: Path, plugins: Path, **environment: str) -> Iterator[Host]:
    """`demo-app run` with the variables of a ZeroGPU Space, until it answers; ended afterwards."""
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo_app", "run", "--plugins-dir", plugins, "--preload", "none"],
            cwd=ROOT,
            env=variables(ROOT / "tests" / "zerogpu") | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Host(serving(process, log), process.pid, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)


def variables(path: Path) -> dict[str, str]:
    known = {"SPACES_ZERO_GPU": "true", "PYTHONPATH": str(path), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    return os.environ | known


def serving(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if "serving on " in line:
                return line.rpartition("serving on ")[2].strip()
        time.sleep(0.05)
    raise RuntimeError(f"the host did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host of the tiny plugin that says where it runs."""
    plugins = Plugins(tmp_path_factory.mktemp("where"))
    plugins.add("where", WHERE)
    with on_zerogpu(tmp_path_factory.mktemp("gpu"), plugins.path) as host:
        yield host


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host of all plugins here. The copies compute on the CPU: this machine has nothing else."""
    with on_zerogpu(tmp_path_factory.mktemp("real"), ROOT / "plugins", DEMO_APP_DEVICE="cpu") as host:
        yield host


def test_queued_actions_run_in_a_copy_on_the_gpu_with_a_model_that_was_loaded_at_the_start(gpu: Host) -> None:
    device, loaded_by, ran_in = gpu.answer("gpu_queued")[0].split()

    assert (device, int(loaded_by)) == ("cuda", gpu.pid)
    assert int(ran_in) != gpu.pid


def test_quick_actions_stay_in_the_host_on_the_cpu(gpu: Host) -> None:
    device, loaded_by, ran_in = client.run(gpu.url, "gpu_quick").json()["data"][0].split()

    assert (device, int(loaded_by), int(ran_in)) == ("cpu", gpu.pid, gpu.pid)


def test_ones_own_checkpoint_answers_on_the_cpu_and_is_refused_on_the_gpu(gpu: Host, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (name,) = client.run(gpu.url, "own_adopt", str(tmp_path)).json()["data"]

    assert client.run(gpu.url, "own_quick", name).json()["data"] == [f"cpu {gpu.pid}"]
    outcome, said = client.call(gpu.url, "own_queued", name)
    assert (outcome, said["error"][:57]) == ("error", "On the GPU of this Space a checkpoint of your own cannot ")
    assert gpu.answer("own_queued", "theirs")[0].startswith("cuda ")


def test_what_cannot_go_there_stays(gpu: Host) -> None:
    assert gpu.answer("gpu_wait") == [str(gpu.pid)]


def test_a_handler_is_given_its_request_and_its_event(gpu: Host) -> None:
    assert gpu.answer("gpu_who", session="mine")[0].startswith("mine ")
    assert gpu.answer("gpu_what", event_data={"token": "seven"}) == ["seven"]


def test_progress_comes_back(gpu: Host, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    for message in gpu.ask("gpu_slow", str(seen)):
        if message["msg"] == "progress" and message["progress_data"][0]["desc"] == "half":
            seen.touch()

    assert message["msg"] == "close_stream"
    assert seen.exists()


def test_a_session_keeps_what_a_copy_returned(gpu: Host) -> None:
    assert gpu.answer("gpu_remember", "a", None, session="s")[0] == "a"
    assert gpu.answer("gpu_remember", "b", None, session="s")[0] == "a b"
    assert gpu.answer("gpu_remember", "c", None, session="t")[0] == "c"


def test_an_error_of_a_copy_is_a_sentence_and_is_counted_for_what_it_is(gpu: Host) -> None:
    kind, said = client.call(gpu.url, "gpu_refuse")
    assert (kind, said["error"]) == ("error", "Not that.")

    kind, said = client.call(gpu.url, "gpu_fail")
    assert kind == "error"
    assert "under error" in said["error"]
    assert "shadow" not in str(said)
    assert said["error"].split()[-1].strip(".") in gpu.log.read_text()
    assert "the secret path" in gpu.log.read_text()

    counted = httpx.get(f"{gpu.url}metrics", timeout=30).text
    assert 'demo_app_requests_total{action="refuse",demo="gpu",outcome="refused"} 1.0' in counted
    assert 'demo_app_requests_total{action="fail",demo="gpu",outcome="error"} 1.0' in counted


@pytest.mark.parametrize(
    ("language", "step", "refusal"),
    [("zh-CN", "第 1 步，在副本。", "不行：so。"), ("en", "Step 1 in a copy.", "Not so.")],
)
def test_a_copy_speaks_the_language_of_its_visitor(gpu: Host, language: str, step: str, refusal: str) -> None:
    assert gpu.answer("gpu_speak", "", session="quiet", language=language) == [step]
    *_, done = (
        m for m in gpu.ask("gpu_speak", "so", session="s", language=language) if m["msg"] == "process_completed"
    )
    assert done["output"]["error"] == refusal


def test_a_generator_ends_when_its_visitor_leaves(gpu: Host, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    messages = gpu.ask("gpu_count", str(ended), session="leaves")
    while next(messages)["msg"] != "process_generating":
        pass
    messages.close()

    deadline = time.monotonic() + 30
    while not ended.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended.read_text() == "closed"


def test_fetching_from_the_hub_takes_no_gpu(real: Host) -> None:
    wrapped = [line for line in real.log.read_text().splitlines() if line.startswith("spaces: wraps")]

    assert any("Actions.generate" in line for line in wrapped)
    assert not any("demo_app.page." in line for line in wrapped)
    assert "not ready for the GPU" not in real.log.read_text()


def test_texts_are_classified_here_and_there(real: Host) -> None:
    quick = client.run(
        real.url, "text_classifier_classify", "A wonderful film.", "sst2", "gradient", "average", "average"
    )
    assert quick.json()["data"][0]["label"] == "positive"

    good, bad, _ = real.answer("text_classifier_compare", "A wonderful film.", "A dull, boring film.", "sst2")
    assert (good["label"], bad["label"]) == ("positive", "negative")


SETTINGS = [0, 1, 0, 0, 1]  # greedy


def written(host: Host, prompt: str, session: str) -> tuple[str, int]:
    """What was written after the prompt, and in how many pieces it came."""
    messages = list(
        host.ask("decoder_generator_generate", prompt, "shakespeare", "five", *SETTINGS, 60, 1, "", session=session)
    )
    pieces = sum(message["msg"] == "process_generating" for message in messages)
    done = next(message for message in messages if message["msg"] == "process_completed")
    assert done["success"], done
    return done["output"]["data"][0], pieces


def test_a_text_is_streamed(real: Host) -> None:
    text, pieces = written(real, "ROMEO:", "one")

    assert text.startswith("ROMEO:")
    assert len(text) == len("ROMEO:") + 60
    assert pieces >= 2


def test_two_visitors_at_once_each_get_their_own(real: Host) -> None:
    prompts = {"a": "ROMEO:", "b": "JULIET:"}
    with ThreadPoolExecutor(2) as pool:
        both = dict(zip(prompts, pool.map(lambda key: written(real, prompts[key], key)[0], prompts), strict=True))

    assert all(both[key].startswith(prompt) for key, prompt in prompts.items())
    assert both == {key: written(real, prompt, key)[0] for key, prompt in prompts.items()}


def test_one_goes_on_from_where_one_stands(real: Host) -> None:
    given = ["ROMEO:", "shakespeare", "five", *SETTINGS, 1]
    assert "ROMEO:" in real.answer("decoder_generator_start", *given, session="walks")[1]

    walked = real.answer("decoder_generator_take_likeliest", None, *SETTINGS, 1, session="walks")

    assert "ROMEO:" in walked[1]


def test_a_wrong_input_is_refused_with_the_plugins_sentence(real: Host) -> None:
    kind, said = client.call(real.url, "decoder_generator_generate", "", "shakespeare", "five", *SETTINGS, 60, 1, "")

    assert kind == "error"
    assert "prompt is empty" in said["error"]


def test_copies_end_with_their_host(tmp_path: Path) -> None:
    plugins = Plugins(tmp_path / "plugins")
    plugins.add("where", WHERE)
    with on_zerogpu(tmp_path, plugins.path) as host:
        *_, copy = host.answer("gpu_queued")[0].split()
        assert Path("/proc", copy).exists()

    assert not Path("/proc", copy).exists()


def test_a_host_without_the_package_stops_with_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo_app", "run", "--plugins-dir", tmp_path],
        cwd=ROOT,
        env=variables(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 2
    assert "pip install spaces" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
