"""The whole page in a browser, after every main action: it looks as its style sheets say, and as it did.

python -m pytest tests/whole/test_page.py --renew     # after a change of the page that is meant
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from whole import baselines, mutants
from whole.conftest import Walked

from demo_app.testing.markup import faults

pytestmark = pytest.mark.browser

RENEW = "if that is meant: python -m pytest tests/whole/test_page.py --renew"
STYLES = baselines.FOLDER / "styles.json"


def test_every_drawing_has_the_rules_it_needs_and_stays_in_its_card(walked: Walked) -> None:
    found = [f"{where}: {problem}" for where, problems in walked.problems.items() for problem in problems]

    assert found == [], "\n".join(found)


def test_every_piece_of_html_is_well_formed(walked: Walked) -> None:
    found = {
        f"{label}: {fault} in {value[:120]!r}"
        for label, values in walked.html.items()
        for value in values
        for fault in faults(value)
    }

    assert len(walked.html) > 20, "the walk saw hardly any drawing"
    assert found == set(), "\n".join(sorted(found))


def test_what_the_rules_come_to_is_what_was_recorded(walked: Walked, renew: bool) -> None:
    """Fails if a rule is gone, outweighed by another, or has another value."""
    now = {theme: {kind: sorted(lines) for kind, lines in found.items()} for theme, found in walked.styles.items()}
    if renew:
        STYLES.parent.mkdir(exist_ok=True)
        STYLES.write_text(json.dumps(now, indent=0, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    before = json.loads(STYLES.read_text(encoding="utf-8")) if STYLES.is_file() else {"light": {}, "dark": {}}
    names_only = not same_chromium(walked)
    found = [
        f"{theme}, {kind}: {difference(old, new)}"
        for theme in now
        for kind in sorted(now[theme].keys() | before[theme].keys())
        if (old := comparable(before[theme].get(kind, []), names_only))
        != (new := comparable(now[theme].get(kind, []), names_only))
    ]

    assert found == [], "\n".join([*found, RENEW])


def test_the_removal_of_any_rule_shows(walked: Walked) -> None:
    """Each rule of each style sheet of drawings was taken away in the open page: what it declares changed somewhere."""
    found = mutants.survivors(walked.rules, walked.survivors)

    assert all(walked.rules.values()), "a style sheet without rules"
    assert found == [], "\n".join(["on no stop of the walk does this show:", *found])


def test_the_loss_of_any_style_sheet_is_complained_about(walked: Walked) -> None:
    assert walked.sheets == set()


def test_the_page_looks_as_it_did(walked: Walked, renew: bool, tmp_path: Path) -> None:
    if renew:
        baselines.write(walked.pictures, walked.boxes, walked.chromium)
        return
    if same_chromium(walked):
        found = baselines.compare_pictures(walked.pictures, tmp_path)
    else:  # it may set type otherwise
        found = baselines.compare_boxes(walked.boxes, baselines.recorded()["boxes"])

    assert found == [], "\n".join([*found, RENEW])


def same_chromium(walked: Walked) -> bool:
    """Whether this is the major version that the baselines were recorded with; with none recorded, too."""
    before = baselines.recorded()["chromium"]
    return not before or before.partition(".")[0] == walked.chromium.partition(".")[0]


def comparable(lines: list[str], names_only: bool) -> list[str]:
    """The lines, or only what they declare: another Chromium may write values otherwise."""
    if not names_only:
        return lines
    return sorted({"; ".join(part.split(": ")[0] for part in line.split("; ")) for line in lines})


def difference(old: list[str], new: list[str]) -> str:
    if not old:
        return "is new"
    if not new:
        return "has no rule any more"
    gone, come = (set().union(*(line.split("; ") for line in lines)) for lines in (old, new))
    lost, won = sorted(gone - come), sorted(come - gone)
    return f"lost {lost}, got {won}" if lost or won else f"in other combinations: {sorted(set(old) ^ set(new))}"
