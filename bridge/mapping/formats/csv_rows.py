"""CSV (RFC 4180): rows of cells. Raises only `PayloadError`. Thread: any (see `decoder`)."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Any

from bridge.core.errors import cut
from bridge.core.model import MessageProperties
from bridge.mapping.formats.decoder import NO_OPTIONS, DecoderOptions, OnceDecoder, OptionError, PayloadError, trimmed
from bridge.mapping.formats.plain import BEYOND_64_BITS, LONGEST_NUMBER, TextDecoder

MAX_ROWS = 10_000
ROWS = "rows"
# Source: RFC 8259 section 6: 007, +7 and .5 are no numbers.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")


class CsvDecoder(OnceDecoder):
    """Rows of cells, whose columns are named by `columns` or by the first line."""

    content_type = "text/csv"
    means = (
        "the last row as a map from column to value; `payload.rows` is the list of all rows. A cell that is written "
        "like a number of JSON is one, an empty cell is null, any other is text, without white space around it"
    )
    refuses = (
        f"no row, a row with more or fewer cells than columns, a column without a name, named `{ROWS}` or like another "
        f"one, more than {MAX_ROWS:,} rows, invalid UTF-8"
    )
    keys = frozenset({"charset", "columns", "delimiter", "texts"})

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        if problem := _names_problem(options.columns):
            raise OptionError("columns", problem)
        self._text = TextDecoder()

    def _read(self, payload: bytes, properties: MessageProperties, *, exact: bool) -> dict[str, Any]:
        text = io.StringIO(self._text.decode(trimmed(payload)), newline="")
        rows = csv.reader(text, delimiter=self._options.delimiter, strict=True)
        columns = self._options.columns
        found: list[dict[str, Any]] = []
        try:
            for row in rows:
                if not row:
                    continue
                if not columns:
                    columns = _header(row)
                    continue
                found.append(self._row(columns, row, rows.line_num, exact=exact))
                if len(found) > MAX_ROWS:
                    raise PayloadError(f"decode payload: more than {MAX_ROWS} rows")
        except csv.Error as error:
            raise PayloadError(f"decode payload: not CSV: line {rows.line_num}: {cut(str(error))}") from error
        if not found:
            raise PayloadError("decode payload: it has no row" + ("" if self._options.columns else " below the header"))
        return {**found[-1], ROWS: found}

    def _row(self, columns: tuple[str, ...], row: list[str], line: int, *, exact: bool) -> dict[str, Any]:
        if len(row) != len(columns):
            counts = f"line {line} has {len(row)} cells for {len(columns)} columns"
            raise PayloadError(f"decode payload: {counts}; check payload.columns and payload.delimiter")
        texts = self._options.texts
        return {
            name: cell.strip() if name in texts else _value(cell.strip(), exact=exact)
            for name, cell in zip(columns, row, strict=True)
        }


def text_columns(schema: Any) -> frozenset[str]:
    """Return the properties that a payload schema declares as text: their cells are never numbers."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return frozenset()
    return frozenset(
        name for name, inner in properties.items() if isinstance(inner, dict) and inner.get("type") == "string"
    )


def _header(row: list[str]) -> tuple[str, ...]:
    columns = tuple(cell.strip() for cell in row)
    if problem := _names_problem(columns):
        raise PayloadError(f"decode payload: the header {problem}; name the columns in payload.columns")
    return columns


def _names_problem(columns: tuple[str, ...]) -> str:
    if ROWS in columns:
        return f'has a column "{ROWS}", which is the name of the list of all rows'
    if "" in columns:
        return "has a column without a name"
    return "" if len(set(columns)) == len(columns) else "names a column twice"


def _value(cell: str, *, exact: bool) -> Any:
    if not cell:
        return None
    if len(cell) > LONGEST_NUMBER or not _NUMBER.fullmatch(cell):
        return cell
    value = float(cell)
    if math.isinf(value):
        return cell
    is_whole = cell.lstrip("-").isdigit()
    return int(cell) if is_whole and (exact or abs(value) < BEYOND_64_BITS) else value
