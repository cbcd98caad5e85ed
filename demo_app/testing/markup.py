"""HTML as strictly as XML: for tests of what a demo draws.

A browser repairs broken HTML silently, and differently in each place. `faults` tells what it would have to repair.
"""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
PHRASING_ONLY = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "button", "span"}
BLOCKS = {"article", "aside", "blockquote", "details", "div", "dl", "figure", "footer", "form", "header", "hr", "main"}
BLOCKS |= {"h1", "h2", "h3", "h4", "h5", "h6", "nav", "ol", "p", "pre", "section", "table", "ul"}  # these end a <p>
PARENTS = {  # what stands elsewhere is moved or dropped
    "li": {"ul", "ol", "menu"},
    "tr": {"thead", "tbody", "tfoot", "table"},
    "td": {"tr"},
    "th": {"tr"},
    "thead": {"table"},
    "tbody": {"table"},
    "figcaption": {"figure"},
    "dt": {"dl", "div"},
    "dd": {"dl", "div"},
}
FOREIGN = {"svg", "math"}


class _Strict(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.faults: list[str] = []

    def _fault(self, text: str) -> None:
        line, column = self.getpos()
        self.faults.append(f"{text} (line {line}, column {column})")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._begin(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._begin(tag, attrs)
        if tag not in VOID and not FOREIGN.intersection([*self.open, tag]):
            self._fault(f"<{tag}/> closes nothing in HTML: write <{tag}></{tag}>")

    def _begin(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._fault(f"<{tag}> has the attribute {name} twice")
        for name in names:
            if any(c in name for c in "<\"'"):
                self._fault(f"<{tag}> has an attribute {name!r}: a quotation mark is missing")
        if tag in PARENTS and self.open and self.open[-1] not in PARENTS[tag]:
            self._fault(f"<{tag}> in <{self.open[-1]}>")
        if tag in BLOCKS and (around := PHRASING_ONLY.intersection(self.open)) and not FOREIGN.intersection(self.open):
            self._fault(f"<{tag}> in <{sorted(around)[0]}>")
        if tag in ("a", "button") and tag in self.open:
            self._fault(f"<{tag}> in <{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            self._fault(f"</{tag}>, which has no end")
        elif not self.open:
            self._fault(f"</{tag}> closes what nothing opened")
        elif self.open[-1] == tag:
            self.open.pop()
        elif tag in self.open:
            self._fault(f"</{tag}> comes before </{self.open[-1]}>")
            while self.open.pop() != tag:
                pass
        else:
            self._fault(f"</{tag}> in <{self.open[-1]}> closes what nothing opened")

    def handle_data(self, data: str) -> None:
        for mark in "<&":
            if mark in data:
                self._fault(f"a bare {mark} in {data.strip()[:40]!r}")

    def handle_comment(self, data: str) -> None:  # also what `</ x>` and `<?` become
        self._fault(f"a comment: {data[:40]!r}")

    def unknown_decl(self, data: str) -> None:
        self._fault(f"a declaration: {data[:40]!r}")

    def handle_decl(self, decl: str) -> None:
        self._fault(f"a declaration: {decl[:40]!r}")

    def handle_pi(self, data: str) -> None:
        self._fault(f"an instruction: {data[:40]!r}")


def faults(html: str) -> list[str]:
    """What a browser would have to repair in a piece of HTML; an empty list if it is well-formed.

    >>> faults("<p>one</p>")
    []
    >>> faults("<p>one</div></p>")
    ['</div> in <p> closes what nothing opened (line 1, column 6)']
    """
    parser = _Strict()
    parser.feed(html)
    if parser.rawdata:  # an unfinished tag; close() would take it for text
        parser.faults.append(f"an unfinished tag: {parser.rawdata[:40]!r}")
    parser.close()
    return [*parser.faults, *(f"<{tag}> is never closed" for tag in reversed(parser.open))]
