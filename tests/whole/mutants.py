"""Take each rule of each style sheet of drawings away in turn, in the open page: does anything show it?

python tests/whole/mutants.py            # every rule on its own: all but a few seconds are the walk through the page
python tests/whole/mutants.py --sheets   # each whole sheet: does the check of drawings complain?

States (`:hover`, `:focus`) and media queries aside. Prints the survivors; exits with 1 if there are any.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from whole import baselines, tour

UNSEEN = {  # rules whose removal shows nowhere on the walk, and why
    'button.gen-row[aria-pressed="true"]': "a candidate is pressed only while its click is under way",
}


def sheets() -> list[Path]:
    """The style sheets of drawings: the host's and each plugin's."""
    host = [path for path in (tour.ROOT / "demo_app").rglob("*.css") if path.name != "host.css"]
    return [*sorted(host), *sorted(tour.PLUGINS.glob("*/*/*.css"))]


def parsed(page: Any) -> dict[str, list[str]]:
    """The rules of each sheet, as the browser writes them."""
    return {
        path.relative_to(tour.ROOT).as_posix(): page.evaluate(
            "(text) => net.parsed(text)", path.read_text(encoding="utf-8")
        )
        for path in sheets()
    }


def survivors(rules: dict[str, list[str]], alive: set[str]) -> list[str]:
    """Sheet and rule of those that nothing shows, those of `UNSEEN` aside."""
    return [
        f"{sheet}: {rule}"
        for sheet, known in rules.items()
        for rule in known
        if rule in alive and rule.partition(" {")[0] not in UNSEEN
    ]


def main(arguments: list[str]) -> int:
    from playwright.sync_api import sync_playwright

    from demo_app.testing import chromium, serve

    with (
        tempfile.TemporaryDirectory() as folder,
        serve(plugins_dir=tour.PLUGINS, strict=True) as server,
        sync_playwright() as playwright,
    ):
        browser = chromium.launch(playwright, *tour.DRAWN_ALIKE)
        with tour.opened(browser, server.url, baselines.font()) as page:
            rules = parsed(page)
            whole = "--sheets" in arguments
            alive = set(rules) if whole else {rule for known in rules.values() for rule in known}

            def arrived(stop: tour.Stop) -> None:  # some rules are for what is empty before the main action
                if not whole:
                    alive.difference_update(stop.ask("killed", sorted(alive)))

            for stop in tour.walk(page, Path(folder), arrived):
                for dark in (False, True):
                    with tour.dressed(page, dark=dark):
                        if whole:
                            alive -= {sheet for sheet in alive if stop.ask("complains", rules[sheet], tour.HOOKS)}
                        else:
                            alive -= set(stop.ask("killed", sorted(alive)))
                sys.stdout.write(f"{stop.name}: {len(alive)} left\n")
        browser.close()
    left = sorted(alive) if whole else survivors(rules, alive)
    sys.stdout.write("\n".join(["", *left, f"{len(left)} survivors of {sum(map(len, rules.values()))} rules", ""]))
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
