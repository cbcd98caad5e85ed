"""`demo-app space`: a Space from chosen plugins, in a folder and on a Hub. `test_space.py` also runs one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from installing import copied, environment, pip, wheels
from packaging.requirements import Requirement
from plugins_on_disk import ROOT, Plugins

from demo_app.cli.main import main
from demo_app.errors import SettingsError
from demo_app.publishing import files as publishing_files
from demo_app.publishing import requirements as publishing_requirements
from demo_app.publishing import space
from demo_app.publishing.errors import SpaceError
from demo_app.settings import Settings, parse_names
from demo_app.testing.hub import TOKEN, Hub

REVISION = "0123456789abcdef0123456789abcdef01234567"
TITLE = "Loud: and quiet"

Run = Callable[..., "tuple[int, str]"]

PINNED = f"""
from pathlib import Path
from demo_app import Checkpoint, Demo, hookimpl

def load(folder, device):
    return str.lower

def build(handle):
    import gradio as gr

    def whisper(text):
        "The text in small letters. Args: text: any. Returns: the same, quieter."
        with handle.use() as lower:
            return lower(text)

    gr.Button().click(whisper, gr.Textbox(), gr.Textbox(), api_name="whisper")

@hookimpl
def register_demos():
    here = Checkpoint(name="here", title="Here", folder=Path(__file__).parent / "w", files=("a.json",), license="mit")
    there = Checkpoint(
        name="there", title="There", repo_id="someone/quiet", revision="{REVISION}", files=("a.json",), size=2,
        license="cc-by-4.0",
    )
    yield Demo(name="quiet", title="Quiet", summary="S" * 80, load=load, build=build, checkpoints=(here, there))
"""


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugins]:
    """Three plugins: good, quiet (with checkpoints and files that no Space needs), broken."""
    plugins, before = Plugins(tmp_path_factory.mktemp("sources") / "plugins"), list(sys.path)
    plugins.add_good("good", order=1)
    quiet = plugins.add("quiet", PINNED, requires=("demo-app", "torch>=2.11", "tokenizers>=0.20", "numpy"))
    plugins.add("broken", "import nothing_of_this_name")
    for name in ("good", "quiet"):
        state_a_license(plugins.path / name)
    for name, content in {
        "w/a.json": b"{}",
        "picture.png": b"\x89PNG\r\n\xff",
        ".env": b"SECRET=1",
        ".git/config": b"[core]",
        "tests/test_it.py": b"",
        "dist/old.whl": b"PK",
        "__pycache__/x.pyc": b"",
    }.items():
        path = quiet / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    yield plugins
    sys.path[:] = before


def state_a_license(folder: Path) -> None:
    text = (folder / "pyproject.toml").read_text()
    if "\nlicense" not in text:
        (folder / "pyproject.toml").write_text(text.replace("[project]\n", '[project]\nlicense = "MIT"\n'))


@pytest.fixture(scope="module")
def made(chosen: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Space of good and quiet, as the command writes it."""
    folder = tmp_path_factory.mktemp("made") / "space"
    options = ["--plugins-dir", str(chosen.path), "--only", "good,quiet", "--title", TITLE]
    assert main(["space", str(folder), *options]) == 0
    return folder


@pytest.fixture
def run(chosen: Plugins, capfd: pytest.CaptureFixture[str]) -> Run:
    """`demo-app space ...` with those plugins: the exit code and the output, which never has the token."""

    def run(*arguments: str | Path, only: str = "good") -> tuple[int, str]:
        code = main(["space", *map(str, arguments), "--plugins-dir", str(chosen.path), "--only", only])
        said = "".join(capfd.readouterr())
        assert TOKEN not in said
        return code, said

    return run


@pytest.fixture
def texts(chosen: Plugins) -> Callable[..., dict[str, str]]:
    """The texts of a Space by their names, without the seconds that checking the plugins takes."""

    def texts(only: str, plugins_dir: Path = chosen.path, **wishes: Any) -> dict[str, str]:
        settings = Settings.from_env({}, plugins_dir=plugins_dir, only=parse_names(only))
        files = space.make(space.chosen_plugins(settings), settings, space.SpaceOptions(**wishes))
        return {name: content.decode() for name, content in files.items() if isinstance(content, bytes)}

    return texts


def header(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return fields


def lines(requirements: str) -> list[str]:
    return [line for line in requirements.splitlines() if not line.startswith("#")]


def lines_in(folder: Path) -> list[str]:
    return lines((folder / "requirements.txt").read_text())


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# In a folder


def test_the_folder_has_what_a_space_needs_and_only_the_chosen_plugins(made: Path) -> None:
    names = set(files_in(made))
    assert {"README.md", "app.py", "requirements.txt", ".gitattributes", "demo_app/page/app.py"} <= names
    quiet = {name for name in names if name.startswith("plugins/quiet/") and not name.endswith(".py")}
    assert quiet == {f"plugins/quiet/{name}" for name in ("pyproject.toml", "picture.png", "w/a.json")}
    assert not any(name.startswith("plugins/broken") or "pycache" in name for name in names)


def test_the_header_has_what_the_hub_reads(made: Path) -> None:
    import gradio

    fields = header((made / "README.md").read_text())
    assert (fields["title"], fields["sdk"], fields["app_file"]) == (TITLE, "gradio", "app.py")
    assert (fields["sdk_version"], fields["python_version"]) == (gradio.__version__, "3.12.12")
    assert fields["short_description"] == "Good, Quiet"
    assert fields["models"] == ["someone/quiet"]
    assert fields["preload_from_hub"] == [f"someone/quiet a.json {REVISION}"]
    assert "suggested_hardware" not in fields
    assert repr(TITLE) in (made / "app.py").read_text()


def test_the_licence_is_that_of_all_parts_or_as_chosen_and_never_invented(texts: Any) -> None:
    assert "license" not in header(texts("good")["README.md"])  # MIT, and the host Apache-2.0
    assert header(texts("good", license="MIT")["README.md"])["license"] == "mit"
    built_in = texts("text_classifier", plugins_dir=ROOT / "plugins")
    assert header(built_in["README.md"])["license"] == "apache-2.0"


def test_the_description_of_one_demo_is_its_summary_cut_to_the_hubs_limit(texts: Any) -> None:
    fields = header(texts("quiet")["README.md"])
    assert fields["title"] == "Quiet"
    assert fields["short_description"] == "S" * 59 + "…"
    assert header(texts("quiet", description="Hush.")["README.md"])["short_description"] == "Hush."


def test_requirements_are_those_of_the_host_and_the_chosen_plugins_joined(made: Path) -> None:
    host = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {Requirement(line).name: Requirement(line) for line in lines_in(made)}
    assert {Requirement(text).name for text in host} | {"tokenizers"} == set(wanted)
    assert str(wanted["torch"].specifier) == ">=2.11"  # the plugin wants more than the host
    assert wanted["huggingface_hub"].specifier.contains("2.4.0")
    assert not wanted["huggingface_hub"].specifier.contains("1.16.1")  # what the builder would take of its own accord
    assert all(specifier.operator != "==" for specifier in wanted["gradio"].specifier)  # the builder pins it


def test_binary_files_are_marked_for_lfs(made: Path) -> None:
    assert "*.png filter=lfs diff=lfs merge=lfs -text\n" in (made / ".gitattributes").read_text()
    assert "*.py " not in (made / ".gitattributes").read_text()


def test_the_written_folder_answers_in_a_process_that_has_nothing_else(made: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); from pathlib import Path\n"
        "import demo_app; from demo_app.serving import client; from demo_app.testing import serve\n"
        "assert Path(demo_app.__file__).is_relative_to(Path.cwd()), demo_app.__file__\n"
        "with serve(plugins_dir=Path('plugins')) as server:\n"
        "    print(client.tab_names(server.url), client.call(server.url, 'quiet_whisper', 'LOUD'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=made,
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "['good', 'quiet', 'status'] ('complete', ['loud'])"


def test_cpu_adds_pytorchs_index_and_says_where_not_to_use_it(texts: Any) -> None:
    written = texts("good", cpu=True)["requirements.txt"]
    assert lines(written)[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert "Not for a GPU Space or ZeroGPU" in written
    assert "--extra-index-url" not in texts("good")["requirements.txt"]
    with pytest.raises(SettingsError, match="zero-a10g has a GPU; leave one of them out"):
        texts("good", cpu=True, hardware="zero-a10g")


def test_dry_run_lists_every_file_with_its_size_and_writes_nothing(run: Run, made: Path, tmp_path: Path) -> None:
    code, said = run(tmp_path / "space", "--dry-run", "--title", TITLE, only="good,quiet")
    assert (code, (tmp_path / "space").exists()) == (0, False)
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in said.splitlines()[:-2]}
    assert listed == {name: len(data) for name, data in files_in(made).items()}
    assert said.splitlines()[-1] == "nothing was created"


def test_a_folder_with_files_is_left_alone_unless_forced_and_then_keeps_what_is_not_ours(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "space"
    (folder / "plugins" / "older").mkdir(parents=True)
    (folder / "README.md").write_text("mine")
    code, said = run(folder)
    assert (code, "is not empty" in said, "--force" in said) == (1, True, True)
    assert (folder / "README.md").read_text() == "mine"
    code, said = run(folder, "--force")
    assert (code, "plugins/older was there and is left" in said) == (0, True), said
    assert header((folder / "README.md").read_text())["sdk"] == "gradio"


def test_a_clone_of_an_empty_repository_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "space" / ".git").mkdir(parents=True)
    publishing_files.write({"a/b.txt": b"x"}, tmp_path / "space", force=False)
    assert (tmp_path / "space" / "a" / "b.txt").read_bytes() == b"x"


def test_a_file_in_the_place_of_the_folder_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "space").write_text("")
    code, said = run(tmp_path / "space", "--force")
    assert (code, "is a file; name a folder" in said) == (1, True)


def test_sources_are_not_written_over(run: Run, chosen: Plugins) -> None:
    for folder in (chosen.path, chosen.path.parent, chosen.path / "good"):
        code, said = run(folder, "--force")
        assert (code, "copied from" in said) == (2, True)


@pytest.mark.parametrize(
    ("only", "code", "sentence"),
    [
        ("nobody", 2, "there is no plugin 'nobody'; there are: broken, good"),
        ("good,broken", 1, "broken fails at import: importing demo_broken"),
        ("silent", 1, "silent fails its check: api: "),
        ("old", 1, "needs Python >=3.11,!=3.12.12 and"),
        ("good,sly", 1, "sly: a Space would not find sly/"),
    ],
)
def test_a_plugin_that_cannot_be_in_a_space_is_named(
    only: str, code: int, sentence: str, plugins: Plugins, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugins.add("broken", "import nothing_of_this_name")
    for name in ("good", "silent", "old", "sly"):
        state_a_license(plugins.add_good(name))
    edit(next((plugins.path / "silent").glob("*.py")), '"The text in capitals. Args: text: any. Returns: the same', '"')
    edit(plugins.path / "old" / "pyproject.toml", '">=3.11"', '">=3.11,!=3.12.12"')
    sly = next((plugins.path / "sly").glob("*.py"))
    sly.rename(plugins.path / "good" / sly.name)  # imported here by chance, and in a Space not
    found = main(["space", str(tmp_path / "space"), "--plugins-dir", str(plugins.path), "--only", only])
    said = capfd.readouterr().err
    assert (found, sentence in said) == (code, True), said
    assert not (tmp_path / "space").exists()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_space_without_plugins_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").mkdir()
    assert main(["space", str(tmp_path / "space"), "--plugins-dir", str(tmp_path / "none")]) == 2
    assert "there are no plugins; install one" in capsys.readouterr().err


def test_without_a_target_the_command_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space"]) == 2
    assert "say where" in capsys.readouterr().err


def test_zerogpu_gets_a_torch_that_it_supports(texts: Any, plugins: Plugins) -> None:
    assert "torch>=2.10,<2.12" in lines(texts("good", hardware="zero-a10g")["requirements.txt"])
    assert "torch>=2.10" in lines(texts("good", hardware="t4-small")["requirements.txt"])
    plugins.add("newer", PINNED.replace('"quiet"', '"newer"'), requires=("demo-app", "torch>=2.12"))
    with pytest.raises(
        SpaceError,
        match=r"need torch.*>=2\.12.*, and ZeroGPU has torch 2\.8\.0, .* other hardware",
    ):
        texts("newer", plugins_dir=plugins.path, hardware="zero-a10g")


@pytest.mark.slow
def test_pip_chooses_the_build_for_cpus_if_both_are_offered(texts: Any, plugins: Plugins, tmp_path: Path) -> None:
    plugins.add("sees", PINNED.replace('"quiet"', '"sees"'), requires=("demo-app", "torchvision"))
    for index, version in (("pypi", "2.15.0"), ("cpu", "2.15.0+cpu")):  # in place of the two real ones
        for name in ("torch", "torchvision"):
            write_wheel(tmp_path / index / name, name, version)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        written = texts("sees", plugins_dir=plugins.path, cpu=True)["requirements.txt"].replace(
            space.CPU_INDEX, f"{here}/cpu"
        )
        kept = [line for line in lines(written) if line.startswith(("torch", "--"))]
        (tmp_path / "requirements.txt").write_text("\n".join(kept))
        command = [
            *(sys.executable, "-m", "pip", "--isolated", "install", "--dry-run", "--ignore-installed", "--no-deps")
        ]
        command += ["--no-cache-dir", "--index-url", f"{here}/pypi", "-r", str(tmp_path / "requirements.txt")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        server.shutdown()
    assert "Would install torch-2.15.0+cpu torchvision-2.15.0+cpu" in done.stdout, done.stdout + done.stderr


def write_wheel(folder: Path, name: str, version: str) -> None:
    """An empty distribution, as an index has it."""
    folder.mkdir(parents=True)
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


# How the host was installed decides


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "demo-x==1.2"),
        (
            {"url": "https://x.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "a1"}},
            "demo-x @ git+https://x.org/x.git@a1",
        ),
        (
            {"url": "https://x.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "a1"}, "subdirectory": "p/x"},
            "demo-x @ git+https://x.org/x.git@a1#subdirectory=p/x",
        ),
        ({"url": "file:///home/me/x", "vcs_info": {"vcs": "git", "commit_id": "a1"}}, None),
        ({"url": "file:///home/me/x", "dir_info": {"editable": True}}, None),
        ({"url": "file:///home/me/x.whl", "archive_info": {}}, None),
    ],
)
def test_a_requirement_line_works_on_other_machines(
    origin: dict[str, Any] | None, line: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "demo_x-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-x\nVersion: 1.2\n")
    if origin is not None:
        (folder / "direct_url.json").write_text(json.dumps(origin))  # as pip notes it (PEP 610)
    assert publishing_requirements.line_of(Distribution.at(folder)) == line


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of the host and of a plugin with two entry points."""
    folder = tmp_path_factory.mktemp("built")
    tiny = Plugins(folder).add_good("tiny")
    state_a_license(tiny)
    module = next(tiny.glob("*.py"))
    (tiny / "demo_tiny_more.py").write_text(module.read_text().replace('"tiny"', '"more"'))
    with (tiny / "pyproject.toml").open("a") as file:
        file.write('more = "demo_tiny_more"\n\n[tool.hatch.build.targets.wheel]\n')
        file.write(f'only-include = ["demo_tiny_more.py", "{module.name}"]\n')
    return wheels([copied(ROOT, folder / "host"), tiny], folder / "wheels")[0].parent


def make(python: Path, *arguments: str | Path) -> None:
    done = subprocess.run(
        [python, "-m", "demo_app", "space", *map(str, arguments)],
        cwd=python.parent,  # not in the checkout, whose demo_app would be imported
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_distribution_from_an_index_is_a_line_and_not_copied(built: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    pip(python, "--find-links", built, "demo-app", "demo-tiny")  # by name, so pip notes no other origin
    make(python, tmp_path / "space", "--only", "tiny")
    assert lines_in(tmp_path / "space") == ["demo-app==0.1.0", "demo-tiny==0.1.0"]
    assert set(files_in(tmp_path / "space")) == {".gitattributes", "README.md", "app.py", "requirements.txt"}
    assert "only=('tiny',)" in (tmp_path / "space" / "app.py").read_text()  # the distribution has another

    make(python, tmp_path / "copied", "--only", "tiny,more", "--copy-host")
    assert (tmp_path / "copied" / "demo_app" / "page" / "app.py").is_file()
    assert not any(line.startswith("demo-") for line in lines_in(tmp_path / "copied"))  # no index is asked for demo-app
    plugin = tomllib.loads((tmp_path / "copied" / "plugins" / "demo_tiny" / "pyproject.toml").read_text())
    assert set(plugin["project"]["entry-points"]["demo_app"]) == {"tiny", "more"}
    assert "only=" not in (tmp_path / "copied" / "app.py").read_text()
    listed = subprocess.run(
        [sys.executable, "-m", "demo_app", "plugins", "--plugins-dir", "plugins"],
        cwd=tmp_path / "copied",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (listed.returncode, listed.stdout.count("folder demo_tiny/  ok")) == (0, 2), listed.stdout


@pytest.mark.slow
def test_a_distribution_from_a_file_is_copied_unless_told_otherwise(built: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    pip(python, *built.glob("*.whl"))
    make(python, tmp_path / "space", "--only", "tiny")
    assert (tmp_path / "space" / "demo_app" / "page" / "app.py").is_file()
    assert (tmp_path / "space" / "plugins" / "demo_tiny" / "pyproject.toml").is_file()
    assert "torch>=2.10" in lines_in(tmp_path / "space")

    make(python, tmp_path / "line", "--only", "tiny", "--no-copy-host")
    assert lines_in(tmp_path / "line") == ["demo-app==0.1.0"]
    assert not (tmp_path / "line" / "demo_app").exists()
    assert (tmp_path / "line" / "plugins" / "demo_tiny" / "pyproject.toml").is_file()  # no index is known to have it


# On the Hub; `test_repository.py` has what it may answer


def test_upload_makes_a_gradio_space_of_the_same_files(run: Run, made: Path, writable_hub: Hub) -> None:
    code, said = run("me/page", "--title", TITLE, only="good,quiet")
    assert (code, f"{writable_hub.url}/spaces/me/page" in said) == (0, True), said
    page = writable_hub.repos["spaces/me/page"]
    assert (page.sdk, page.private) == ("gradio", False)
    assert dict(page.files) == files_in(made)
    assert [request.path for request in writable_hub.log if "commit" in request.path] == [
        "/api/spaces/me/page/commit/main"
    ]

    code, said = run("me/page", "--force")
    assert (code, "removed plugins/quiet/w/a.json" in said) == (0, True), said
    assert not any(name.startswith("plugins/quiet") for name in writable_hub.repos["spaces/me/page"].files)
    assert any(name.startswith("plugins/good") for name in writable_hub.repos["spaces/me/page"].files)


def test_private_and_hardware_are_requested_and_a_second_upload_needs_force(run: Run, writable_hub: Hub) -> None:
    assert run("me/page", "--private", "--hardware", "zero-a10g")[0] == 0
    assert writable_hub.repos["spaces/me/page"].private
    asked = next(request.body for request in writable_hub.log if request.path == "/api/repos/create")
    assert b"zero-a10g" in asked
    assert header(writable_hub.repos["spaces/me/page"].files["README.md"].decode())["suggested_hardware"] == "zero-a10g"
    code, said = run("me/page")
    assert (code, "is on the Hub already" in said, "--force" in said) == (1, True, True)


def test_dry_run_sends_no_request_and_needs_no_token(run: Run, test_hub: Hub) -> None:
    code, said = run("me/page", "--dry-run")
    assert (code, "plugins/good/pyproject.toml" in said, test_hub.log) == (0, True, [])


def test_a_secret_or_a_link_out_stops_it_before_anything_is_sent(run: Run, chosen: Plugins, test_hub: Hub) -> None:
    for name, put, words in (
        ("token", lambda path: path.write_text("x"), "plugins/good/token (its name says it is a secret) must not"),
        ("a.txt", lambda path: path.write_text("hf_" + "Ab1" * 11), "a.txt (it has a token of the Hugging Face Hub)"),
        ("link", lambda path: path.symlink_to("/etc"), "good/link is a link to /etc, and links are not followed"),
    ):
        path = chosen.path / "good" / name
        put(path)
        try:
            code, said = run("me/page", "--dry-run")
        finally:
            path.unlink()
        assert (code, words in said, "Ab1Ab1" in said, test_hub.log) == (1, True, False, []), said


def test_a_missing_token_is_reported_before_anything_is_loaded(run: Run, test_hub: Hub) -> None:
    code, said = run("me/page", only="broken")
    assert (code, "HF_TOKEN is not set; make an access token" in said, test_hub.log) == (1, True, [])


def test_a_local_folder_of_that_name_is_not_taken_for_the_hub(
    run: Run, writable_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "page").mkdir(parents=True)
    code, said = run("me/page")
    assert (code, "write ./me/page" in said, writable_hub.log) == (2, True, [])
    assert run("./me/page", "--dry-run")[0] == 0


# The Space of a checkout


def test_update_writes_what_check_calls_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["torch>=2.8"]\n')
    (tmp_path / "README.md").write_text("---\nsdk: gradio\nmodels:\n- gone/away\n---\n# Kept\n")
    assert main(["space", str(tmp_path), "--check"]) == 1
    assert "requirements.txt is stale; run: demo-app space --update" in capsys.readouterr().out
    assert not (tmp_path / "requirements.txt").exists()
    assert main(["space", str(tmp_path), "--update"]) == 0
    assert lines_in(tmp_path) == ["torch>=2.8"]
    assert (tmp_path / "README.md").read_text() == "---\nsdk: gradio\n---\n# Kept\n"
    assert main(["space", str(tmp_path), "--check"]) == 0


def test_update_refuses_a_folder_that_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", str(tmp_path), "--update"]) == 2
    assert "has no app.py" in capsys.readouterr().err
