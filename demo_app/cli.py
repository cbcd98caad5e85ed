"""demo-app new | run | plugins | check | download | selfcheck | finetune | space | publish. Also `python -m demo_app`.

Exit codes: 0 all is well, 1 something failed and was named, 2 the command line was wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import demo_app
from demo_app import hub
from demo_app.api import Checkpoint, Demo, DemoError
from demo_app.commands import add_options
from demo_app.machine import prepare_environment
from demo_app.models import where
from demo_app.plugins import Plugin, PluginError, find_demo, load_plugins
from demo_app.settings import Settings, SettingsError, parse_bytes, parse_checkpoints, parse_names
from demo_app.tuning.recipe import STRATEGIES, Recipe


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.command == "run" else logging.CRITICAL,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return int(args.call(args) or 0)
    except (SettingsError, DemoError, PluginError) as error:
        sys.stderr.write(f"demo-app: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo-app: stopped; give the same command again to go on.\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo-app", description=demo_app.__doc__)
    parser.add_argument("--version", action="version", version=demo_app.__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, call: Any, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(call=call)
        sub.add_argument(
            "--plugins-dir", type=Path, metavar="DIR", help="a folder of plugins beside the installed ones"
        )
        return sub

    run = command("run", _run, "Serve the page.")
    run.add_argument("--host")
    run.add_argument("--port", type=int)
    run.add_argument("--only", type=parse_names, metavar="NAMES", help="plugins to use, comma-separated")
    run.add_argument("--disable", type=parse_names, metavar="NAMES", help="plugins not to import, comma-separated")
    run.add_argument(
        "--checkpoint",
        dest="checkpoints",
        type=_checkpoint,
        action="append",
        metavar="[DEMO=]FOLDER",
        help="one of your own, for the picker of that demo, or of the one on its card; may be given again",
    )
    run.add_argument("--preload", type=parse_names, metavar="NAMES", help="first (default), all, none, or demos")
    run.add_argument("--device", choices=("cuda", "mps", "cpu"))
    run.add_argument("--memory-budget", type=_bytes, metavar="SIZE", help="for loaded models, as in 2G")
    run.add_argument("--mcp", action="store_true", default=None, help="also serve every action to MCP clients")
    run.add_argument("--strict", action="store_true", default=None, help="the first plugin that fails stops the start")

    plugins = command("plugins", _plugins, "List plugins, their demos and checkpoints; 1 if one failed.")
    plugins.add_argument("--json", action="store_true")

    new = commands.add_parser("new", help="Write a plugin that works, to be changed into your own.")
    new.set_defaults(call=_new)
    new.add_argument("target", type=Path, metavar="NAME", help="of the plugin, and of the folder that is made for it")
    new.add_argument("--torch", action="store_true", help="its model is a network in torch; default: any callable")
    new.add_argument("--hub", metavar="OWNER/NAME[@REVISION]", help="its weights are on the Hub, in that repository")

    check = command("check", _check, "Say everything that is wrong with a plugin; 1 if anything is.")
    check.add_argument("target", nargs="+", metavar="PATH|NAME", help="a plugin's folder, or its name")
    check.add_argument("--load", action="store_true", help="also load every checkpoint that is on this disk")

    download = command("download", _download, "Fetch checkpoints from the Hub; 1 if one could not be had.")
    download.add_argument("target", nargs="*", metavar="DEMO[/CHECKPOINT]")
    download.add_argument("--all", action="store_true", help="every checkpoint of every demo")

    selfcheck = command("selfcheck", _selfcheck, "Compare models with their published outputs; 1 if one differs.")
    selfcheck.add_argument("target", nargs="*", metavar="DEMO[/CHECKPOINT]", help="default: all")
    selfcheck.add_argument("--hub", action="store_true", help="fetch what is not on this disk")

    finetune = command("finetune", _finetune, "Teach a checkpoint from your own examples; writes a new one.")
    finetune.add_argument("target", metavar="DEMO[/CHECKPOINT]|DEMO=FOLDER", help="what to begin with")
    finetune.add_argument(
        "--data", required=True, type=Path, nargs="+", metavar="FILE_OR_FOLDER",
        help="a CSV with the columns text and label; pictures in a folder or ZIP with a folder for each class; or "
        "pictures and a CSV with the columns image and label (and text)",
    )  # fmt: skip
    finetune.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the new checkpoint")
    finetune.add_argument(
        "--strategy", default="layerwise", metavar="NAMES", help=f"who learns: {', '.join(STRATEGIES)}; several, by "
        "commas, are compared, each with a folder of its own in DIR",
    )  # fmt: skip
    finetune.add_argument(
        "--layers", default="", metavar="GLOB", help="of `layers` and `lora`: names of layers, by commas; re:... too"
    )
    finetune.add_argument("--original", type=Path, metavar="FILE", help="examples of what DEMO/CHECKPOINT can do")
    finetune.add_argument(
        "--same-labels", action=argparse.BooleanOptionalAction,
        help="whether labels that differ in capitals or spaces alone are one class",
    )  # fmt: skip
    finetune.add_argument("--plan", action="store_true", help="say who would learn, and do nothing")
    finetune.add_argument("--device", choices=("cuda", "cpu"), help="default: the best there is")
    finetune.add_argument("--force", action="store_true", help="write over what is there")
    add_options(finetune, Recipe, skip=("strategy", "layers"))

    space = command("space", _space, "Make a Hugging Face Space from plugins, in a folder or on the Hub.")
    space.add_argument("target", nargs="?", metavar="FOLDER|USER/NAME", help="where; a folder below is ./A/B")
    space.add_argument("--only", type=parse_names, metavar="NAMES", help="plugins it shall have; default: all")
    space.add_argument("--title", help="of the Space and its page")
    space.add_argument("--description", help="one line of up to 60 characters; default: from the demos")
    space.add_argument("--license", metavar="NAME", help="of the Space; default: the plugins', where they agree")
    space.add_argument("--cpu", action="store_true", help="PyTorch without CUDA: not for a GPU Space, nor for ZeroGPU")
    space.add_argument("--hardware", metavar="NAME", help="that the Hub shall run it on, as in zero-a10g or t4-small")
    space.add_argument(
        "--copy-host",
        action=argparse.BooleanOptionalAction,
        help="put the host itself into the Space (or have it from an index); default: unless it came from an index",
    )
    _uploading(space)
    keep = space.add_mutually_exclusive_group()
    keep.add_argument(
        "--update",
        action="store_true",
        help="of a checkout that is a Space (default: here): write its "
        "requirements.txt and the header of its README.md anew",
    )
    keep.add_argument("--check", action="store_true", help="of such a checkout: write nothing; 1 if one is stale")

    publish = command("publish", _publish, "Put a checkpoint on the Hub, with its model card.")
    publish.add_argument("source", metavar="DEMO/CHECKPOINT|DEMO=FOLDER", help="an embedded one, or one of your own")
    publish.add_argument("repo_id", metavar="USER/REPO")
    publish.add_argument("--license", metavar="NAME", help="of the weights; default: what their card says")
    _uploading(publish)
    return parser


def _uploading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--private", action="store_true", help="on the Hub: for you alone")
    parser.add_argument("--force", action="store_true", help="write over what is there")
    parser.add_argument("--dry-run", action="store_true", help="list the files and create nothing")


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _checkpoint(text: str) -> tuple[str, Path]:
    try:
        (pair,) = parse_checkpoints(text)
    except (SettingsError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} names no checkpoint; write DEMO=FOLDER.") from None
    return pair


def _run(args: argparse.Namespace) -> None:
    fields = ("plugins_dir", "host", "port", "only", "disable", "preload", "device", "memory_budget", "mcp", "strict")
    checkpoints = args.checkpoints and tuple(args.checkpoints)
    options = {name: getattr(args, name) for name in fields}
    demo_app.run(Settings.from_env(checkpoints=checkpoints, **options))


def _plugins(args: argparse.Namespace) -> int:
    plugins = load_plugins(Settings.from_env(plugins_dir=args.plugins_dir))
    if args.json:
        sys.stdout.write(json.dumps([_as_json(plugin) for plugin in plugins], indent=2) + "\n")
    else:
        for plugin in plugins:
            sys.stdout.write(_as_text(plugin))
        if not plugins:
            sys.stdout.write("No plugins. Install one, or name a folder with --plugins-dir.\n")
    return any(plugin.state == "failed" for plugin in plugins)


def _as_json(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "status": plugin.state,
        "stage": plugin.stage,
        "reason": plugin.reason,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "source": plugin.source,
        "path": str(plugin.path) if plugin.path else None,
        "import_ms": round(plugin.import_ms, 1),
        "demos": [
            {
                "name": demo.name,
                "title": demo.title,
                "summary": demo.summary,
                "order": demo.order,
                "checkpoints": [
                    {
                        "name": checkpoint.name,
                        "title": checkpoint.title,
                        "where": where(checkpoint),
                        "repo_id": checkpoint.repo_id,
                        "revision": checkpoint.revision,
                        "size": checkpoint.size,
                        "license": checkpoint.license,
                    }
                    for checkpoint in demo.checkpoints
                ],
            }
            for demo in plugin.demos
        ],
    }


def _as_text(plugin: Plugin) -> str:
    lines = [f"{plugin.name}  {plugin.provider}  {plugin.origin}  {plugin.state}  {plugin.import_ms:.0f} ms"]
    if plugin.reason:
        lines.append(f"  {plugin.stage + ': ' if plugin.stage else ''}{plugin.reason}")
    for demo in plugin.demos:
        lines.append(f"  {demo.name}: {demo.summary}")
        lines += [f"    {checkpoint.name}: {checkpoint.title} ({where(checkpoint)})" for checkpoint in demo.checkpoints]
    return "\n".join(lines) + "\n"


def _new(args: argparse.Namespace) -> None:
    prepare_environment()
    from demo_app import new

    for path in new.create(args.target, torch=args.torch, hub=args.hub):
        sys.stdout.write(f"wrote {path}\n")
    folder = args.target
    sys.stdout.write(f"now: demo-app check {folder} --load; pytest {folder}; demo-app run --plugins-dir {folder}\n")


def _check(args: argparse.Namespace) -> int:
    prepare_environment()
    from demo_app.testing import check_demo

    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    wrong = 0
    for target in args.target:
        report = check_demo(target, settings=settings, load=args.load)
        sys.stdout.write(str(report))
        wrong += len(report.problems)
    return wrong > 0


def _download(args: argparse.Namespace) -> int:
    prepare_environment()
    if not args.target and not args.all:
        raise SettingsError("name what to fetch, as in text_classifier/sst2, or say --all.")
    failed = 0
    for demo, checkpoint in _wanted(args.target, Settings.from_env(plugins_dir=args.plugins_dir)):
        label = f"{demo.name}/{checkpoint.name}"
        try:
            sys.stdout.write(f"{label}: {_fetch(checkpoint, label)}\n")
        except DemoError as error:
            failed += 1
            sys.stdout.write(f"{label}: failed: {error}\n")
    return failed > 0


def _wanted(targets: Sequence[str], settings: Settings) -> list[tuple[Demo[Any], Checkpoint]]:
    """The checkpoints that are named as DEMO or DEMO/CHECKPOINT; all of them where none is."""
    plugins = load_plugins(settings)
    wanted: list[tuple[Demo[Any], Checkpoint]] = []
    for target in targets or [demo.name for plugin in plugins for demo in plugin.demos]:
        name, _, one = target.partition("/")
        _, demo = find_demo(plugins, name)
        chosen = demo.checkpoint(one) if one else None
        wanted += [(demo, checkpoint) for checkpoint in ([chosen] if chosen else demo.checkpoints)]
    return wanted


def _fetch(checkpoint: Checkpoint, label: str) -> str:
    """Fetch with a bar on standard error; where the files are now."""
    from tqdm import tqdm

    if not checkpoint.on_hub:
        return f"embedded in {hub.locate(checkpoint)}"
    with tqdm(unit="B", unit_scale=True, desc=label) as bar:

        def show(progress: hub.Progress) -> None:
            bar.total = progress.total or checkpoint.size
            bar.set_postfix_str(progress.note, refresh=False)
            bar.update(progress.done - bar.n)

        folder = hub.fetch(checkpoint, show)
    return f"on disk in {folder}"


def _selfcheck(args: argparse.Namespace) -> int:
    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    prepare_environment(settings.threads)
    from demo_app import selfcheck
    from demo_app.models import Models

    rows = list(selfcheck.compare(Models(settings), _wanted(args.target, settings), fetch=args.hub))
    sys.stdout.write(selfcheck.table(rows))
    return any(row.failed for row in rows)


def _finetune(args: argparse.Namespace) -> None:
    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    prepare_environment(settings.threads)
    from demo_app.tuning import command

    command.run(args, settings)


def _space(args: argparse.Namespace) -> int:
    if args.update or args.check:
        return _keep_space(Path(args.target or ""), args)
    if args.target is None:
        raise SettingsError("say where: a folder, or USER/NAME on the Hub; of a checkout that is a Space say --update.")
    prepare_environment()
    from demo_app import repository, space

    settings = Settings.from_env(plugins_dir=args.plugins_dir, only=args.only)
    on_hub = repository.REPO_ID.fullmatch(args.target) is not None and args.target[0] not in "./~"
    folder = Path(args.target).expanduser().resolve()
    if on_hub and folder.exists():
        raise SettingsError(
            f"{args.target} is a folder here and a name on the Hub; for the folder write ./{args.target}"
        )
    if not on_hub and any(path.is_relative_to(folder) for path in space.sources(settings)):
        raise SettingsError(f"{folder} holds what the Space is copied from; name another folder, or say --update.")
    if not args.dry_run:  # what can be refused at once is
        if on_hub:
            repository.token()
        else:
            repository.check_folder(folder, force=args.force)
    plugins = space.chosen(settings)
    names = ("title", "description", "license", "cpu", "hardware", "copy_host")
    files = space.make(plugins, settings, space.Wishes(**{name: getattr(args, name) for name in names}))
    space.check(plugins, settings)
    if args.dry_run:
        sys.stdout.write(repository.listing(files) + "nothing was created\n")
    elif on_hub:
        done = repository.upload(
            files,
            args.target,
            kind="space",
            message="Made with demo-app space",
            private=args.private,
            force=args.force,
            hardware=args.hardware,
            owned=space.OWNED,
        )
        for name in done.removed:
            sys.stdout.write(f"removed {name}, which was there and does not belong any more\n")
        sys.stdout.write(f"{len(files)} files are in {done.url}, where it is built now\n")
    else:
        before = {path.name for path in (folder / "plugins").glob("*/")} if folder.is_dir() else set()
        repository.write(files, folder, force=args.force)
        for name in sorted(before - {name.split("/")[1] for name in files if name.startswith("plugins/")}):
            sys.stdout.write(f"plugins/{name} was there and is left; remove it if the Space shall not show it\n")
        sys.stdout.write(f"{len(files)} files are in {folder}; try it: python {folder / 'app.py'}\n")
    return 0


def _keep_space(folder: Path, args: argparse.Namespace) -> int:
    from demo_app import space

    folder = folder.resolve()
    stale = space.stale_files(folder, args.plugins_dir or folder / "plugins")
    if args.check:
        for path in stale:
            sys.stdout.write(f"{path.name} is stale; run: demo-app space --update\n")
        return len(stale) > 0
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path.name}\n")
    if not stale:
        sys.stdout.write("nothing to do: requirements.txt and README.md are up to date\n")
    return 0


def _publish(args: argparse.Namespace) -> int:
    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    prepare_environment(settings.threads)
    from demo_app import publish, repository

    repository.check_name(args.repo_id)
    if not args.dry_run:
        repository.token()
    ready = publish.prepare(args.source, settings, license=args.license)
    if args.dry_run:
        sys.stdout.write(repository.listing(ready.files) + "nothing was created\n")
        return 0
    message = f"{args.source.partition('=')[0]}: published with demo-app"
    done = repository.upload(
        ready.files, args.repo_id, kind="model", message=message, private=args.private, force=args.force
    )
    sys.stdout.write(f"{len(ready.files)} files are in {done.url}; a plugin has them with\n\n")
    sys.stdout.write(ready.pinned(args.repo_id, done.commit))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
