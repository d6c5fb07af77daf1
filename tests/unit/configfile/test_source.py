"""Promises of reading YAML: positions, YAML 1.2 words, and a clear problem for everything else."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from bridge.configfile.nodes import locate, plain
from bridge.configfile.problems import Position, Problems
from bridge.configfile.source import MAX_BYTES, MAX_DEPTH, read_bytes, read_file


def read(text):
    problems = Problems()
    data = text if isinstance(text, bytes) else dedent(text).encode()
    root = read_bytes(data, "f.yaml", problems)
    return (None if root is None else plain(root)), [problem.render() for problem in problems.in_order()]


def value_of(text):
    data, problems = read(text)
    assert problems == []
    return data


def only_problem(text):
    data, problems = read(text)
    assert data is None
    (problem,) = problems
    return problem


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "True", "FALSE", "Null", "NULL"])
def test_words_of_yaml_1_1_are_text(word):
    """Only true, false, null and ~ mean something else than themselves."""
    assert value_of(f"key: {word}") == {"key": word}
    assert value_of(f"{word}: 1") == {word: 1}


@pytest.mark.parametrize(
    "word", ["1:30", "0o755", "0x1F", "0b1", "1_000", "2024-01-01", "1e999", ".inf", ".nan", "9" * 99]
)
def test_what_looks_like_a_number_elsewhere_is_text(word):
    """Numbers are decimal and finite; there are no timestamps."""
    assert value_of(f"key: {word}") == {"key": word}


def test_words_that_mean_something():
    """Booleans, null, whole numbers and floats."""
    assert value_of("[true, false, null, ~, 7, -7, +7, 007, 1.5, .5, 1e3]") == [
        *(True, False, None, None, 7, -7, 7, 7),
        *(1.5, 0.5, 1000.0),
    ]


def test_quotes_make_text():
    """A quoted word, a block and the tag !!str are always text."""
    assert value_of("""['true', "7", !!str 7, ! null]""") == ["true", "7", "7", "null"]
    assert value_of("a: |\n  1\n") == {"a": "1\n"}


def test_json_is_read_too():
    """Also characters that JSON writes as two escapes."""
    assert value_of(rb'{"a": [1, "\ud83d\ude00"], "b": {"c": null}}') == {"a": [1, "\U0001f600"], "b": {"c": None}}


def test_every_value_knows_its_place():
    """Lines and columns count from 1, in characters."""
    problems = Problems()
    root = read_bytes("ä: [x, {deep: ü,   key: 1}]\nb:\n  - c\n".encode(), "f.yaml", problems)
    assert locate(root, "ä", 1, "key") == Position("f.yaml", 1, 25)
    assert locate(root, "b", 0) == Position("f.yaml", 3, 5)
    assert locate(root, "b", 7, "nothing") == Position("f.yaml", 3, 3)
    assert root.entry("b").key_position == Position("f.yaml", 2, 1)


def test_a_key_twice_is_told_with_both_places_and_reading_goes_on():
    """All of them, not the first only."""
    data, problems = read("a: 1\nb: {x: 1, x: 2}\na: 2\n")
    assert problems == [
        'f.yaml:2:11: duplicate-key: the key "x" is duplicated; it is already at f.yaml:2:5',
        'f.yaml:3:1: duplicate-key: the key "a" is duplicated; it is already at f.yaml:1:1',
    ]
    assert data == {"a": 1, "b": {"x": 1}}


def test_merge_keys_give_way_to_what_stands_there():
    """`<<` takes one map or several; the first one has its say before the later ones."""
    text = """
        one: &one {x: 1, y: 1}
        two: &two {y: 2, z: 2}
        all: {<<: [*one, *two], x: 0}
        """
    assert value_of(text)["all"] == {"x": 0, "y": 1, "z": 2}
    assert value_of('"<<": 1') == {"<<": 1}
    assert read("<<: 1")[1] == [
        "f.yaml:1:5: unsupported-yaml: << needs a map, or a list of maps, usually as an alias: <<: *name"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: [1, 2",
            "f.yaml:1:9: yaml-syntax: expected ',' or ']', but got '<stream end>' while parsing a flow sequence",
        ),
        ("a:\n\t- b", "f.yaml:2:1: yaml-syntax: a tab cannot indent YAML or begin a value; use spaces"),
        ("a: b: c", "f.yaml:1:5: yaml-syntax: a colon and space are not allowed here; check the indentation"),
        (
            "topic: [a/{b}/c, d]",
            (
                "f.yaml:1:11: yaml-syntax: expected ',' or ']', but got '{' while parsing a flow sequence "
                '(begun at line 1); in a list with [ ], a text that contains "{" needs quotes'
            ),
        ),
        ("topic: {site}/x", "f.yaml:1:14: yaml-syntax: expected <block end>, but found '<scalar>' while parsing"),
        ("a: *b", "f.yaml:1:4: yaml-syntax: no anchor &b before this alias"),
        ("a: &a [*a]", "f.yaml:1:8: unsupported-yaml: the alias *a is inside its own anchor"),
        ("a: !!python/name:os x", 'f.yaml:1:4: unsupported-yaml: the tag "tag:yaml.org,2002:python/name:os" is not'),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: unsupported-yaml: a second document begins here"),
        ("? [a]\n: b", "f.yaml:1:3: bad-key: a key must be a single word, not a list or a map"),
        (b"a: b\nc: \xff", "f.yaml:2:4: not-utf8: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"a: b\nc\0", "f.yaml:2:2: bad-character: character U+0000 is not allowed in YAML; remove it"),
        (rb'a: "\ud800"', "f.yaml:1:4: bad-character: half of a surrogate pair is not a character"),
        (rb'a: "\U99999999"', "f.yaml:1:7: yaml-syntax: this is not YAML"),
        (b"\xff\xfea\0", "f.yaml:1:1: not-utf8: byte 0xff is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_problem_with_its_place(text, problem):
    """And never a traceback."""
    assert only_problem(text).startswith(problem)


def test_a_text_that_begins_with_a_brace_is_explained():
    """The commonest mistake in topics."""
    assert only_problem("topic: {site}/x").endswith('a text that begins with "{" needs quotes')


def test_an_empty_key_is_refused():
    """It can mean nothing."""
    assert read('"": 1')[1] == ["f.yaml:1:1: bad-key: an empty key"]


def test_an_empty_file_is_null():
    """So that the reader can tell which keys are missing."""
    assert value_of("") is None
    assert value_of("# nothing\n") is None
    assert value_of(b"\xef\xbb\xbfa: 1") == {"a": 1}


def test_depth_is_bounded():
    """A file of brackets neither exhausts the stack nor takes long."""
    assert value_of("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "too-deep" in only_problem("[" * 100_000)
    assert "too-deep" in only_problem("- " * 10_000 + "a")


def test_size_is_bounded():
    """A file of more than a MiB is none of ours."""
    assert only_problem(b"#" * (MAX_BYTES + 1)) == "f.yaml: too-large: the file is larger than 1 MiB"


def test_aliases_cannot_multiply_without_bound():
    """Each is counted as often as it is used."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "too-large" in only_problem("\n".join(lines))


@pytest.mark.parametrize("name", ["missing.yaml", "", "x" * 300, "nul\0.yaml"])
def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path, name):
    """Missing, a folder, too long or impossible a name."""
    problems = Problems()
    assert read_file(tmp_path / name, problems) is None
    assert [problem.code for problem in problems.found] == ["unreadable-file"]


def test_a_pipe_is_never_waited_for(tmp_path):
    """Only regular files are opened."""
    os.mkfifo(tmp_path / "pipe")
    problems = Problems()
    assert read_file(tmp_path / "pipe", problems) is None
    assert problems.found[0].message == "cannot read the file: it is not a regular file"


def test_files_are_named_relative_to_the_working_directory(tmp_path, monkeypatch):
    """As people would type them; those elsewhere by their whole path."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text("[")
    for folder, shown in ((tmp_path, "conf/a.yaml"), (Path("/"), str(tmp_path / "conf/a.yaml").lstrip("/"))):
        monkeypatch.chdir(folder)
        problems = Problems()
        read_file(tmp_path / "conf" / "a.yaml", problems)
        assert problems.found[0].position.file == shown
