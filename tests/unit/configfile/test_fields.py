"""Promises of declared keys: read, refused with place and proposal, described."""

from enum import StrEnum
from pathlib import Path

import jsonschema
import pytest

from bridge.configfile.containers import ListOf, MapOf, Nullable
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import INVALID, Boolean, Choice, Duration, FilePath, Integer, Place, Size, Text, Url
from bridge.configfile.problems import Problems
from bridge.configfile.source import read_bytes
from tests.docs.key_pages import json_schema, key_table


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@section
class Lamp:
    """A lamp."""

    colour: Colour = declare(Choice(Colour, not_yet=("blue",)), "Its colour.", default="red")
    fade_s: float = declare(Duration("10ms", "1h"), "Time to fade.", default="1s")
    memory_bytes: int = declare(Size("1KiB", "1MiB"), "Its memory.", default="4KiB")
    max_bytes: int = declare(Size(), "Its bound.", default="1MiB", name="max-bytes")
    url: str | None = declare(Url(("http", "https")), "Its page.", default=ABSENT)
    on: bool = declare(Boolean(), "Whether it shines.", default=False)
    manual: Path | None = declare(FilePath(), "Its manual.", default=ABSENT)
    port: int | None = declare(Nullable(Integer(1, 10)), "Its port.", default=ABSENT)
    laser: str | None = declare(Text(), "Its laser.", default=ABSENT, not_yet="lasers are not built yet")


@section
class House:
    """A house."""

    name: str = declare(Text("[a-z]+", "small letters"), "Its name.", hint="or set HOUSE_NAME")
    hall: Lamp = declare(Section(Lamp), "Its first lamp.", default={})
    rooms: object = declare(
        MapOf(Section(Lamp), "[a-z]+", "small letters", noun="room", least=1), "Lamps.", default=ABSENT
    )
    words: object = declare(MapOf(Text(may_be_empty=True)), "Free words.", default={})
    tags: tuple[str, ...] = declare(ListOf(Text(), least=1, distinct=True), "Tags.", default=ABSENT)
    door: object = declare(
        Section(Lamp, exactly_one=("url", "manual")), "A lamp with one or the other.", default=ABSENT
    )


def read(text):
    problems = Problems()
    root = read_bytes(text.encode(), "f", problems)
    return Section(House).read(root, Place(problems)), [problem.render() for problem in problems.in_order()]


def house(text):
    value, problems = read(f"name: x\n{text}")
    assert problems == []
    return value


def only_problem(text):
    value, problems = read(f"name: x\n{text}")
    assert value is INVALID
    (problem,) = problems
    return problem


def test_defaults_are_read_like_values():
    """An absent section has all of its defaults, in the units of code."""
    assert house("").hall == Lamp(colour=Colour.RED, fade_s=1.0, memory_bytes=4096, max_bytes=1 << 20)
    assert house("hall:").hall == Lamp()


def test_every_kind_is_read():
    """Into the type that the attribute says."""
    text = """
hall: {colour: green, fade: 500ms, memory: 8KiB, max-bytes: 1B, url: "http://a/b/", on: true, manual: a/b, port: 7}
rooms: {bath: {port: null}}
words: {a: 007, b: "", c: true}
tags: [1, x]
door: {manual: m}
"""
    value = house(text)
    assert value.hall == Lamp(
        colour=Colour.GREEN,
        fade_s=0.5,
        memory_bytes=8192,
        max_bytes=1,
        url="http://a/b",
        on=True,
        manual=Path("a/b"),
        port=7,
    )
    assert dict(value.rooms) == {"bath": Lamp()}
    assert dict(value.words) == {"a": "007", "b": "", "c": "true"}
    assert value.tags == ("1", "x")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hal: {}", 'f:2:1: unknown-key: unknown key "hal"; did you mean "hall"?'),
        ("hall: {fdae: 1s}", 'f:2:8: unknown-key: hall: unknown key "fdae"; did you mean "fade"?'),
        ("hall: {nothing-like-it: 1}", 'f:2:8: unknown-key: hall: unknown key "nothing-like-it"'),
        ("hall: [1]", 'f:2:7: wrong-type: "hall" must be a map of keys, not a list'),
        (
            "hall: {fade: 7}",
            'f:2:14: bad-value: hall: "fade" must be a duration such as 500ms, 10s, 5m, 24h or 7d, not "7"',
        ),
        ("hall: {fade: 1d}", 'f:2:14: bad-value: hall: "fade" must be from 10ms to 1h, not "1d"'),
        ("hall: {memory: 1MB}", 'f:2:16: bad-value: hall: "memory" must be a size such as 512B, 256KiB, 64MiB or 4GiB'),
        ("hall: {memory: 1B}", 'f:2:16: bad-value: hall: "memory" must be from 1KiB to 1MiB, not "1B"'),
        ("hall: {on: yes}", 'f:2:12: bad-value: hall: "on" must be true or false, not "yes"'),
        ("hall: {on: {}}", 'f:2:12: wrong-type: hall: "on" must be true or false, not a map'),
        ("hall: {on: }", 'f:2:8: wrong-type: hall: "on" has no value; it must be true or false'),
        ("hall: {port: 11}", 'f:2:14: bad-value: hall: "port" must be a whole number from 1 to 10, not "11"'),
        ("hall: {port: true}", 'f:2:14: bad-value: hall: "port" must be a whole number from 1 to 10, not "true"'),
        (
            "hall: {colour: gren}",
            'f:2:16: bad-value: hall: "colour" must be red or green, not "gren"; did you mean "green"?',
        ),
        ("hall: {colour: blue}", 'f:2:16: not-yet: hall: "colour": blue is not built yet'),
        ("hall: {laser: x}", "f:2:8: not-yet: hall: lasers are not built yet"),
        ('hall: {manual: ""}', 'f:2:16: bad-value: hall: "manual" must be the path of a file, not ""'),
        (
            "rooms: {}",
            'f:2:8: wrong-type: "rooms" needs at least 1',
        ),
        ("rooms: {Bath: {}}", 'f:2:9: bad-key: in "rooms" a name must be small letters, not "Bath"'),
        ("rooms: {bath: {prt: 1}}", 'f:2:16: unknown-key: room "bath": unknown key "prt"; did you mean "port"?'),
        ("words: {a: [1]}", 'f:2:12: wrong-type: "words.a" must be text, not a list'),
        ("tags: []", 'f:2:7: wrong-type: "tags" needs at least 1'),
        ("tags: [a, b, a]", 'f:2:14: duplicate-value: "tags" names "a" twice; remove one'),
        ("tags: a", 'f:2:7: bad-value: "tags" must be a list, each item text, not "a"'),
        ("door: {}", "f:2:7: missing-key: door: one of the keys url, manual is required"),
        (
            "door: {url: http://a, manual: b}",
            'f:2:23: conflicting-keys: door: "manual" cannot be combined with "url"; keep one of',
        ),
        ("door: {manul: b}", 'f:2:8: unknown-key: door: unknown key "manul"; did you mean "manual"?'),
    ],
)
def test_what_is_wrong_is_told_once_with_place_and_item(text, problem):
    """And a key that was misspelt is not told to be missing as well."""
    assert only_problem(text).startswith(problem)


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "a", "http://", "http://a:0", "http://a:99999", "http://a b", "http://[::1", "http://a?q", "http:///x"],
)
def test_other_urls_are_refused(url):
    """Scheme, host and port must make sense."""
    assert "must be a URL (http://, https://)" in only_problem(f"hall: {{url: '{url}'}}")


@pytest.mark.parametrize(
    "url", ["http://bob:hunter2@a", "http://bob:hunter2@a:99999", "http://bob:hunter2@[", "x://hunter2@a"]
)
def test_credentials_in_a_url_are_refused_and_never_repeated(url):
    """They would end up in logs."""
    assert "hunter2" not in only_problem(f"hall: {{url: '{url}'}}")


def test_all_problems_are_told_at_once_in_order():
    """Required keys, unknown keys and wrong values, wherever they are."""
    value, problems = read("tags: 1\nhall:\n  on: 1\n  x: 1\nzzzzz: 1\n")
    assert value is INVALID
    assert [line.split(": ")[0] for line in problems] == ["f:1:1", "f:1:7", "f:3:7", "f:4:3", "f:5:1"]
    assert problems[0] == 'f:1:1: missing-key: the key "name" is missing; or set HOUSE_NAME'


def test_what_was_refused_can_be_salvaged_for_looking_at_the_rest():
    """Wrong values are as if absent; without a required one there is nothing."""
    problems = Problems()
    root = read_bytes(b"name: x\ntags: 1\nhall: {on: true, port: 99, laser: x}\n", "f", problems)
    value = Section(House).salvage(root)
    assert value.name == "x"
    assert value.tags is None
    assert value.hall == Lamp(on=True)
    assert Section(House).salvage(read_bytes(b"tags: [a]", "f", problems)) is INVALID
    assert problems.found == []


def test_a_default_that_its_kind_refuses_is_a_mistake_of_ours():
    """It is found when the module is imported."""
    with pytest.raises(ValueError, match="declare key: its default is refused"):
        declare(Integer(1, 5), "A number.", default=7)


def test_the_schema_takes_and_refuses_what_reading_does():
    """Editors agree with `check`, but for bounds of durations and the like."""
    schema = json_schema(Section(House), "house")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"name": "x", "hall": None, "rooms": {"a": {"port": None}}, "words": {"a": 1}})
    for wrong in (
        {"nam": "x"},
        {"name": "X"},
        {"hall": {"fade": "7"}},
        {"hall": {"laser": "x"}},
        {"hall": {"colour": "blue"}},
        {"hall": {"port": 11}},
        {"rooms": {"A": {}}},
        {"tags": ["a", "a"]},
        {"door": {}},
        {"door": {"url": "http://a", "manual": "b"}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_the_table_has_every_key_by_its_path():
    """With default, and what is not built yet."""
    table = key_table(Section(House))
    assert "| `name` | small letters | required | Its name. |" in table
    assert "| `hall.fade` | a duration | `1s` | Time to fade. |" in table
    assert "| `rooms.NAME.on` | true or false | `false` | Whether it shines. |" in table
    assert "| `hall.laser` | text |  | Its laser. lasers are not built yet. |" in table
