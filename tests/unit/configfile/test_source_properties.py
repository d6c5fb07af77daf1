"""Properties of reading YAML: nothing raises, and positions are right wherever a key stands."""

import json
import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.configfile.containers import ListOf, MapOf
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import Duration, Integer, Place, Structure, Text
from bridge.configfile.nodes import node_of, plain
from bridge.configfile.problems import Problems
from bridge.configfile.scalars import resolve
from bridge.configfile.source import read_bytes

# Fragments that reach deeper into the parser than random characters do.
YAML_PARTS = st.sampled_from(
    [
        "a",
        "- ",
        ": ",
        "? ",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&x ",
        "*x",
        "<<",
        "|",
        ">",
        "'",
        '"',
        "\\U",
        "\\x",
        "!",
        "!!str ",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "#",
        "\t",
        "\x85",
        "\u2028",
        "@",
        "`",
        "1",
        "true",
        "\r",
        "ä",
    ]
)
WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=8)
# Only such texts look alike in block style whatever they hold.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise(data):
    """Every input gives a tree or a problem."""
    problems = Problems()
    root = read_bytes(data, "f", problems)
    assert root is not None or problems.found


@settings(max_examples=400)
@given(st.lists(YAML_PARTS, max_size=40))
def test_no_yaml_raises(parts):
    """What looks like YAML gives a tree or a problem, with a line that exists."""
    text = "".join(parts)
    problems = Problems()
    root = read_bytes(text.encode(), "f", problems)
    assert root is not None or problems.found
    lines = len(re.split("\r\n|[\n\r\x85\u2028\u2029]", text))
    assert all(1 <= problem.position.line <= lines + 1 for problem in problems.found)


@given(JSON)
def test_json_reads_as_json(value):
    """Whatever JSON can say arrives unchanged, but for floats that JSON has and YAML words."""
    problems = Problems()
    text = json.dumps(value, ensure_ascii=True)
    root = read_bytes(text.encode(), "f", problems)
    assert problems.found == []
    assert plain(root) == value
    assert plain(node_of(value)) == value


@given(st.text())
def test_no_word_raises(word):
    """Every word has a meaning, at least itself."""
    assert resolve(word) is None or isinstance(resolve(word), (str, int, float))


@section
class Inner:
    """Keys below a key."""

    number: int = declare(Integer(), "A number.", default=1)
    text: str = declare(Text(), "A text.", default="x")
    wait_s: float = declare(Duration(), "A time.", default="1s")


@section
class Outer:
    """Keys of every shape."""

    first: Inner = declare(Section(Inner), "A section.", default={})
    many: tuple[Inner, ...] = declare(ListOf(Section(Inner)), "Sections.", default=[])
    named: object = declare(MapOf(Section(Inner), noun="thing"), "Sections with names.", default={})
    free: object = declare(Structure(), "Anything.", default=ABSENT)


SOUND = """\
first:
  number: 5
  text: "a: b"

many:
- number: 1
  wait: 5m
- text: |
    several
    lines
  number: 7
named:
  one:
      wait: 10s   # a comment
  two: {}
""".splitlines()
BLOCK_KEYS = [
    (index, len(line) - len(line.lstrip())) for index, line in enumerate(SOUND) if re.match(r" *\w+:( |$)", line)
]


@given(st.sampled_from(BLOCK_KEYS), WORDS)
def test_an_unknown_key_is_told_exactly_where_it_stands(place, word):
    """Wherever a line `key: value` is put into a sound file, in line and column."""
    index, indent = place
    inside_named = indent == 2 and index > SOUND.index("named:")
    key = f"zz{word}"
    lines = [*SOUND[:index], " " * indent + f"{key}: {{}}", *SOUND[index:]]
    problems = Problems()
    root = read_bytes("\n".join(lines).encode(), "f", problems)
    Section(Outer).read(root, Place(problems))
    if inside_named:  # there every name is free
        assert problems.found == []
    else:
        (problem,) = problems.found
        assert problem.render().startswith(f"f:{index + 1}:{indent + 1}: unknown-key: ")
        assert f'unknown key "{key}"' in problem.message
