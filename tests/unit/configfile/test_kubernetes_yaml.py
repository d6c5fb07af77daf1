"""Kubernetes manifests are read as Argo reads them: Go's sigs.k8s.io/yaml, not YAML 1.2 and not PyYAML."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.configfile.kubernetes_yaml import MAX_BYTES, MAX_DEPTH, read_manifests, resolve_word
from bridge.configfile.nodes import locate, plain
from bridge.configfile.problems import Problems


def read(text):
    """The data of each document, and the problems as lines."""
    problems = Problems()
    data = text.encode() if isinstance(text, str) else text
    trees = read_manifests(data, "f.yaml", problems)
    return [plain(tree) for tree in trees], [one.render() for one in problems.in_order()]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("y", True),
        ("Y", True),
        ("on", True),
        ("Yes", True),
        ("n", False),
        ("OFF", False),
        ("yEs", "yEs"),
        ("true", True),
        ("0o755", 493),
        ("0755", 493),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("+7", 7),
        ("1e1", 10.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("08", 8.0),
        ("99999999999999999999", 1e20),
        ("18446744073709551615", 2**64 - 1),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("~", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("1e999", "1e999"),
        ("+", "+"),
        (".", "."),
        ("_1", "_1"),
        ("1.2.3", "1.2.3"),
        ("\uff11", "\uff11"),
    ],
)
def test_an_unquoted_word_means_what_it_means_to_argo(word, value):
    """`y` is a boolean, `0o755` and `1e1` are numbers, timestamps stay text."""
    assert resolve_word(word) == value
    assert type(resolve_word(word)) is type(value)
    assert read(f"key: {word}\nquoted: '{word}'\ntagged: !!str {word}")[0] == [
        {"key": value, "quoted": word, "tagged": word}
    ]


def test_keys_that_are_numbers_or_booleans_become_text():
    """They are on the way to JSON; `on:` is the text "true" then, as for Argo."""
    assert read("1: a\n0x10: b\non: c\n1.5: d\n'on': e")[0] == [
        {"1": "a", "16": "b", "true": "c", "1.5": "d", "on": "e"}
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 'f.yaml:3:1: duplicate-key: the key "a" is duplicated; it is already at f.yaml:1:1'),
        ("m:\n  k: 1\n  k: 2", "f.yaml:3:3: duplicate-key"),
        ('{"a": 1, "a": 2}', "f.yaml:1:10: duplicate-key"),
        ("x: &x {a: 1}\nb:\n  <<: *x\n  a: 2", "f.yaml:4:3: duplicate-key"),
        ("1: a\n'1': b", "f.yaml:2:1: duplicate-key"),
        ("a: [1", "yaml-syntax"),
        ("a:\n\t- b", "f.yaml:2:1: yaml-syntax: a tab cannot indent"),
        ("a: .inf", "f.yaml:1:4: bad-value"),
        ("a: .NaN", "bad-value"),
        ("? [a]\n: b", "f.yaml:1:3: bad-key"),
        ("~: a", "bad-key"),
        ("a: *b", "yaml-syntax"),
        ("a: &a [*a]", "unsupported-yaml"),
        ("a: !!int x", "unsupported-yaml"),
        ("a: !!binary eA==", "unsupported-yaml"),
        ("<<: 3", "unsupported-yaml"),
        (r'a: "\ud800"', "bad-character"),
        ("a: \x01", "f.yaml:1:4: bad-character"),
        (b"a: \xff", "f.yaml:1:4: not-utf8"),
        ("[" * (MAX_DEPTH + 2), "too-deep"),
    ],
)
def test_what_argo_refuses_is_refused_with_its_place(text, said):
    """Duplicate keys above all: PyYAML would keep the last of them."""
    lines = read(text)[1]
    assert any(said in line for line in lines), lines


def test_merge_keys_without_overlap_are_fine():
    """Argo takes them, also from several anchors."""
    text = "x: &x {a: 1}\ny: &y {b: 2}\nz:\n  <<: [*x, *y]\n  c: 3"
    assert read(text)[0][0]["z"] == {"a": 1, "b": 2, "c": 3}


def test_a_file_holds_any_number_of_documents_and_empty_ones_are_none():
    """kubectl and argo read them so; a document with an error does not hide those before it."""
    assert read("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n")[0] == [{"a": 1}, {"b": 2}]
    documents, problems = read("a: 1\n---\nb: [")
    assert (documents, len(problems)) == ([{"a": 1}], 1)
    assert read("")[0] == []


def test_anchors_end_with_their_document():
    """A second document cannot refer to the first."""
    assert any("no anchor" in line for line in read("a: &x 1\n---\nb: *x")[1])


def test_positions_are_lines_and_columns_from_one():
    """Editors jump to them."""
    tree = read_manifests(b"\xef\xbb\xbf---\nspec:\n  templates:\n  - name: a\n", "f.yaml", Problems())[0]
    assert str(locate(tree, "spec", "templates", 0, "name")) == "f.yaml:4:11"


def test_json_may_be_indented_with_tabs_and_has_surrogate_pairs():
    """JSON is not quite a subset of YAML; Argo reads it as JSON."""
    assert read('{\n\t"a":\t"\\ud83d\\ude00",\n\t"b": [\n\t\t1e2]\n}')[0] == [{"a": "\U0001f600", "b": [100.0]}]


def test_aliases_cannot_grow_without_bound():
    """Ten anchors of ten aliases each are ten thousand million values."""
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 11))
    assert any("too-large" in line for line in read(bomb)[1])
    assert any("too-large" in line for line in read(b" " * (MAX_BYTES + 1))[1])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.sampled_from([None, 2, "\t"]))
def test_json_is_read_as_json(value, indent):
    """Whatever JSON says, YAML's reader says too."""
    text = json.dumps({"v": value}, indent=indent)
    documents, problems = read(text)
    assert problems == []
    assert documents == [{"v": value}]


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    "a",
                    ": ",
                    "- ",
                    "\n",
                    "  ",
                    "[",
                    "]",
                    "{",
                    "}",
                    "&x ",
                    "*x",
                    "<<",
                    "? ",
                    "|",
                    "'",
                    '"',
                    "!!int ",
                    "---\n",
                    "#",
                    "%",
                ]
            ),
            max_size=25,
        ).map("".join),
    )
)
def test_no_bytes_raise(text):
    """What a file holds is answered with documents and problems, never with an exception."""
    documents, problems = read(text)
    assert isinstance(documents, list)
    assert all(isinstance(line, str) for line in problems)


@given(st.text(max_size=12))
def test_every_word_resolves_to_json(word):
    """No word becomes a date or anything else that JSON lacks."""
    value = resolve_word(word)
    assert value is None or isinstance(value, bool | int | float | str)
    assert not isinstance(value, float) or math.isfinite(value) or "inf" in word.lower() or "nan" in word.lower()
