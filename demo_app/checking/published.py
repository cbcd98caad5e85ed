"""`demo-app selfcheck`: outputs of models here, compared with published outputs, on real weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from demo_app.api import Checkpoint, Comparison, Demo
from demo_app.errors import DemoError
from demo_app.hub import fetch as hub_fetch
from demo_app.hub import files
from demo_app.models.cache import Models

HEAD = ["checkpoint", "", "output", "published", "here", "difference", "source"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: a comparison, or a note that says why there is none."""

    checkpoint: str  # "text_classifier/sst2"
    comparison: Comparison | None = None
    note: str = ""
    failed: bool = False

    def cells(self) -> list[str]:
        """Texts for the columns of `HEAD`."""
        found = self.comparison
        if found is None:
            return [self.checkpoint, "FAILED" if self.failed else "not run", "", "", "", self.note, ""]
        difference = "" if found.difference is None else f"{found.difference:.1e} of {found.tolerance:.0e}"
        state = "FAILED" if self.failed else "ok"
        return [self.checkpoint, state, found.what, _text(found.expected), _text(found.found), difference, found.source]


def compare(models: Models, wanted: Iterable[tuple[Demo[Any], Checkpoint]], *, fetch: bool) -> Iterator[Row]:
    """Yield one row for each published output. With `fetch`, missing checkpoints are fetched from the Hub first."""
    for demo, checkpoint in wanted:
        name = f"{demo.name}/{checkpoint.name}"
        if demo.selfcheck is None:
            yield Row(checkpoint=name, note="the plugin states no published outputs")
            continue
        if files.locate(checkpoint) is None and not fetch:
            yield Row(checkpoint=name, note="not on this disk; --hub fetches it")
            continue
        try:
            hub_fetch.fetch(checkpoint)
            with models.use(demo, checkpoint.name) as model:
                found = [Row(checkpoint=name, comparison=c, failed=not c.ok) for c in demo.selfcheck(model, checkpoint)]
        except DemoError as error:
            yield Row(checkpoint=name, note=str(error), failed=True)
            continue
        models.unload(demo, checkpoint.name)
        yield from found or [Row(checkpoint=name, note="nothing is published for it")]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that is also readable in a terminal."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, ["-" * max(3, width) for width in widths])
    return "".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |\n" for line in lines
    )


def _text(values: tuple[float, ...] | str) -> str:
    return values if isinstance(values, str) else " ".join(f"{value:.5g}" for value in values)
