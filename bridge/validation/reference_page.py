"""Parses Argo's field reference as published on its documentation site: one HTML page made from the same Markdown.

Takes only headings and tables, and passes them to the same builder as the Markdown parser, so both forms of a release
give the same schema. Never downloads anything (the command does) and follows no link.

Thread: the command's main thread; pure.
"""

from __future__ import annotations

from html.parser import HTMLParser

from bridge.validation.field_reference import FieldReference, ReferenceBuilder

_HEADINGS = {"h1", "h2", "h3"}
_CELLS = {"td", "th"}
_FIELD_HEAD = ["Field Name", "Field Type", "Description"]


def looks_like_page(text: str) -> bool:
    """Whether this is HTML rather than Markdown."""
    start = text[:1000].lstrip("\ufeff \t\r\n").lower()
    return start.startswith(("<!doctype html", "<html")) or "<html" in start


def parse_page(text: str) -> FieldReference:
    """Parse the published page (MkDocs, Material theme); `PermanentError` (``bad-reference``) if it is another."""
    reader = _PageReader()
    reader.feed(text)
    reader.close()
    return reader.builder.close()


class _PageReader(HTMLParser):
    """Turns headings and table rows into calls of the builder; ignores everything else."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.builder = ReferenceBuilder()
        self._collecting: list[str] | None = None
        self._cells: list[str] = []
        self._muted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HEADINGS or tag in _CELLS:
            self._collecting = []
        elif tag == "tr":
            self._cells = []
        elif tag == "a" and ("class", "headerlink") in attrs:
            self._muted += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._muted:
            self._muted -= 1
        elif tag in _CELLS and self._collecting is not None:
            self._cells.append("".join(self._collecting).strip())
            self._collecting = None
        elif tag in _HEADINGS and self._collecting is not None:
            self._heading(tag, "".join(self._collecting).strip())
            self._collecting = None
        elif tag == "tr":
            self._row()

    def handle_data(self, data: str) -> None:
        if self._collecting is not None and not self._muted:
            self._collecting.append(data)

    def _heading(self, tag: str, text: str) -> None:
        # The theme itself has headings before the first title (navigation), which belong to no section.
        if tag == "h1":
            self.builder.title(text)
        elif tag == "h2" and self.builder.section:
            self.builder.type(text)

    def _row(self) -> None:
        if self._cells[:3] == _FIELD_HEAD:
            self.builder.table()
        elif len(self._cells) >= 2 and self.builder.section:
            name, notation, *description = self._cells
            self.builder.row(name.strip("~"), notation, " ".join(description))
