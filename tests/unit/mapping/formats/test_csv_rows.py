"""Promises of CSV payloads: one row and many are read alike, and nothing is guessed."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.formats.csv_rows import MAX_ROWS, CsvDecoder, text_columns
from bridge.mapping.formats.decoder import DecoderOptions, OptionError, PayloadError


def read(payload, **options):
    decoder = CsvDecoder(DecoderOptions(**options))
    return decoder.exact(payload, decoder.decode(payload))


def refused(payload, **options):
    with pytest.raises(PayloadError) as caught:
        read(payload, **options)
    assert caught.value.code == "invalid-payload"
    return caught.value.message


AB = {"columns": ("a", "b")}


@pytest.mark.parametrize(
    ("payload", "options"),
    [
        (b"a,b\n1,x\n2,y\n", {}),
        (b"\xef\xbb\xbf a , b\r\n1 ,x\r\n\r\n2, y\r\n\0", {}),
        (b"1,x\n2,y", AB),
        (b"1;x\n2;y", AB | {"delimiter": ";"}),
        (b"1\tx\n2\ty", AB | {"delimiter": "\t"}),
        (b'"a","b"\r"1","x"\r"2","y"', {}),
    ],
)
def test_the_last_row_is_the_payload_and_rows_has_all(payload, options):
    """With a header or named columns, and however lines end."""
    assert read(payload, **options) == {"a": 2, "b": "y", "rows": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (b"21.5", 21.5),
        (b"-3", -3),
        (b"1e3", 1000.0),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"", None),
        (b" ", None),
        *((text, text.decode()) for text in (b"007", b"+7", b".5", b"5.", b"0x1", b"1_0", b"nan", b"1e999", b"true")),
        ("größe".encode(), "größe"),
        (b'"say ""a,b""\nc"', 'say "a,b"\nc'),
        ("٣".encode(), "٣"),
        (b"9" * 5000, "9" * 5000),
    ],
)
def test_a_cell_is_a_number_exactly_if_json_says_so(cell, value):
    """Everything else is the text that was sent."""
    found = read(cell + b",x", **AB)["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_column_that_the_schema_calls_text_is_text():
    """A serial number keeps its zeros and its exponent."""
    texts = text_columns({"properties": {"a": {"type": "string"}, "b": {"type": "number"}, "c": True}})
    assert texts == {"a"}
    assert read(b" 1.10 ,1.10", **AB, texts=texts)["rows"] == [{"a": "1.10", "b": 1.1}]
    assert [text_columns(schema) for schema in (None, True, {}, {"properties": []})] == [frozenset()] * 4


def test_a_condition_sees_whole_numbers_beyond_64_bits_as_doubles():
    """As those of JSON."""
    assert CsvDecoder(DecoderOptions(**AB)).decode(b"18446744073709551616,1")["a"] == 2.0**64


@pytest.mark.parametrize(
    ("payload", "options", "words"),
    [
        (b"", {}, "no row below the header"),
        (b"a,b\n", {}, "no row below the header"),
        (b"\n", AB, "no row"),
        (b"1", AB, "line 1 has 1 cells for 2 columns"),
        (b"a,b\n1,2\n1,2,3", {}, "line 3 has 3 cells for 2 columns"),
        (b"a,a\n1,2", {}, "names a column twice"),
        (b"a,\n1,2", {}, "without a name"),
        (b"a,rows\n1,2", {}, '"rows"'),
        (b'"a', AB, "not CSV: line 1"),
        (b'"a"x,1', AB, "not CSV: line 1"),
        (b"\xff,1", AB, "not UTF-8"),
        (b"1,2\n" * (MAX_ROWS + 1), AB, f"more than {MAX_ROWS} rows"),
        (b"x" * 200_000 + b",1", AB, "not CSV"),
    ],
)
def test_what_does_not_fit_is_refused(payload, options, words):
    """A row with a missing cell is never shifted into other columns; the message says which line."""
    assert words in refused(payload, **options)


@pytest.mark.parametrize("columns", [("rows",), ("a", "a"), ("",)])
def test_columns_that_cannot_be_are_refused_at_load(columns):
    """At their key."""
    with pytest.raises(OptionError) as caught:
        CsvDecoder(DecoderOptions(columns=columns))
    assert caught.value.key == "columns"


@given(
    payload=st.binary(max_size=60) | st.text('a1,;\t"\r\n\0 .e-', max_size=40).map(str.encode),
    columns=st.sampled_from([(), ("a",), ("a", "b")]),
    delimiter=st.sampled_from(",;\t"),
)
def test_no_bytes_raise_anything_else(payload, columns, delimiter):
    """Every payload gives rows with these columns, or a `PayloadError`."""
    with suppress(PayloadError):
        value = read(payload, columns=columns, delimiter=delimiter)
        assert value == {**value["rows"][-1], "rows": value["rows"]}
        assert {*columns} <= value.keys()


@given(rows=st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=2), min_size=1, max_size=4))
def test_what_a_writer_quotes_is_read_back(rows):
    """Commas, quotes and line ends within a cell belong to it."""
    lines = "\r\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    found = read(lines.encode(), **AB, texts=frozenset(AB["columns"]))
    assert [[*row.values()] for row in found["rows"]] == [[cell.strip() for cell in row] for row in rows]
