"""Promises of durations and sizes: every number of milliseconds or bytes has one text, and no other text is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configfile.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("0s", 0)]
)
def test_durations_of_the_documentation(text, seconds):
    """Each unit."""
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == {"24h": "1d"}.get(text, text)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1.5h", "-1s", "1h30m", "10 s", "10S", "1w", " 1s", "1s\n", "\u0661s", "9" * 16 + "s"]
)
def test_other_texts_are_no_durations(text):
    """A unit is needed, one number only, nothing around it."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("256KiB", 262_144), ("64MiB", 1 << 26), ("4GiB", 1 << 32), ("1TiB", 1 << 40)]
)
def test_sizes_of_the_documentation(text, size):
    """Each unit."""
    assert parse_size(text) == size
    assert format_size(size) == text


@pytest.mark.parametrize("text", ["", "10", "KiB", "1.5GiB", "256KB", "256K", "256kib", "-1B", "1 KiB"])
def test_other_texts_are_no_sizes(text):
    """KB is not KiB: who writes it is asked."""
    assert parse_size(text) is None


@given(st.integers(0, 10**14))
def test_durations_round_trip(milliseconds):
    """No millisecond is lost."""
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 10**17))
def test_sizes_round_trip(size):
    """No byte is lost."""
    assert parse_size(format_size(size)) == size


@given(st.text(alphabet="0123456789msdhKMGTiB. -"))
def test_what_is_read_is_written_as_the_same_number(text):
    """Any text gives None or a number that survives."""
    seconds, size = parse_duration(text), parse_size(text)
    assert seconds is None or parse_duration(format_duration(seconds)) == seconds
    assert size is None or parse_size(format_size(size)) == size
