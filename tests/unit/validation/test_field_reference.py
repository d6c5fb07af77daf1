"""The reader of Argo's field reference, on small references written for these tests."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.validation.field_reference import parse_markdown
from bridge.validation.reference_page import looks_like_page, parse_page

REFERENCE = """# Field Reference

## Thing

What a thing is, with `code` and <b>tags</b>

<details markdown>
<summary>Examples (click to open)</summary>

- [`a.yaml`](https://example.com/a.yaml)

</details>

### Fields
| Field Name | Field Type | Description   |
|:----------:|:----------:|---------------|
|`apart`|`Array<`[`Part`](#part)`>`|One of "A" | "B"|
|`grid`|`Array<Array<`[`Part`](#part)`>>`|_No description available_|
|~~`gone`~~|~~`integer`~~|~~Old.~~ DEPRECATED: use apart|
|`marks`|`Map< string , string >`|marks|
|`part`|[`Part`](#part)|a part|
|`words`|`Array< string >`|words|

# External Fields

## Part

_No description available_
"""

PAGE = """<!doctype html><html><head><title>Field Reference</title></head><body><nav><h3>Menu</h3></nav>
<h1 id="field-reference">Field Reference<a class="headerlink" href="#field-reference" title="x">&para;</a></h1>
<h2 id="thing">Thing<a class="headerlink" href="#thing" title="Permanent link">&para;</a></h2>
<p>What a thing is, with <code>code</code></p>
<details><summary>Examples (click to open)</summary><ul><li><p><a href="x"><code>a.yaml</code></a></p></li></ul></details>
<h3 id="fields">Fields<a class="headerlink" href="#fields">&para;</a></h3>
<table><thead><tr><th style="text-align: center;">Field Name</th><th>Field Type</th><th>Description</th></tr></thead>
<tbody>
<tr><td><code>apart</code></td><td><code>Array&lt;</code><a href="#part"><code>Part</code></a><code>&gt;</code></td><td>One of "A" </td><td> "B"</td></tr>
<tr><td><code>grid</code></td><td><code>Array&lt;Array&lt;</code><a href="#part"><code>Part</code></a><code>&gt;&gt;</code></td><td></td></tr>
<tr><td>~~<code>gone</code>~~</td><td>~~<code>integer</code>~~</td><td>~~Old.~~ DEPRECATED</td></tr>
<tr><td><code>marks</code></td><td><code>Map&lt; string , string &gt;</code></td><td>marks</td></tr>
<tr><td><del><code>part</code></del></td><td><a href="#part"><code>Part</code></a></td><td>a part</td></tr>
<tr><td><code>words</code></td><td><code>Array&lt; string &gt;</code></td><td>words</td></tr>
</tbody></table>
<h1 id="external-fields">External Fields<a class="headerlink" href="#external-fields">&para;</a></h1>
<h2 id="part">Part<a class="headerlink" href="#part">&para;</a></h2><p><em>No description available</em></p>
</body></html>
"""  # noqa: E501 - a table row is one line on the published page too

NOTATIONS = {
    "apart": "Array<Part>",
    "grid": "Array<Array<Part>>",
    "gone": "integer",
    "marks": "Map<string,string>",
    "part": "Part",
    "words": "Array<string>",
}


@pytest.mark.parametrize("reference", [parse_markdown(REFERENCE), parse_page(PAGE)], ids=["markdown", "page"])
def test_every_notation_is_read_the_same_from_markdown_and_from_the_page(reference):
    """Lists, lists of lists, maps, links and deprecated rows keep their name and type in both forms."""
    thing, part = reference.types
    assert {one.name: one.notation for one in thing.fields} == NOTATIONS
    assert (thing.section, part.section, part.fields) == ("argo", "k8s", None)


def test_a_description_may_hold_the_mark_between_columns():
    """One row of each release has a literal bar in its text, which must not shift the type."""
    field = parse_markdown(REFERENCE).types[0].field("apart")
    assert field.description == 'One of "A" | "B"'


def test_a_name_in_both_sections_is_resolved_in_its_own_section_first():
    """Argo and Kubernetes both have an HTTPHeader; a link means the one beside it."""
    reference = parse_markdown("# Field Reference\n## Same\nargo\n# External Fields\n## Same\nk8s\n## Other\nx\n")
    assert reference.find("Same", "argo").section == "argo"
    assert reference.find("Same", "k8s").section == "k8s"
    assert reference.find("Other", "argo").section == "k8s"
    assert reference.find("Nothing", "argo") is None


ROW = "|`words`|`Array< string >`|words|"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (ROW, "|`words`|`Set< string >`|words|", 'line 22: field "Thing.words": unknown notation'),
        (ROW, "|words|string|words|", "line 22: cannot read"),
        (ROW, "|`Words`|`string`|words|", '"Words" is not a field name'),
        (ROW, ROW + "\n" + ROW, '"Thing.words" is defined twice'),
        ("## Part", "## Thing\nx\n## Part\nx\n## Part", '"Part" is defined twice in one section'),
        ("# External Fields", "# Further Fields", 'unknown heading "Further Fields"'),
        ("# Field Reference", "# Field Reference\n### Fields\n" + ROW, "stands outside a table"),
        ("# Field Reference", "Welcome\n# Field Reference", "text before the heading"),
        ("### Fields", "### Columns", "cannot read"),
        ("# Field Reference\n\n## Thing", "## Thing", "stands before the heading"),
    ],
)
def test_a_line_that_nobody_has_reviewed_stops_the_reading(before, after, said):
    """A field overlooked here would be refused in every message later."""
    with pytest.raises(PermanentError) as caught:
        parse_markdown(REFERENCE.replace(before, after, 1))
    assert said in caught.value.message
    assert caught.value.code == "bad-reference"


@pytest.mark.parametrize("text", ["", "\n\n", "# Field Reference\n"])
def test_a_document_without_types_is_no_reference(text):
    """An empty download must not make an empty schema."""
    with pytest.raises(PermanentError, match="no type"):
        parse_markdown(text)


def test_a_page_is_told_from_markdown():
    """The form is recognised by content, because a URL says nothing about it."""
    assert looks_like_page(PAGE)
    assert looks_like_page("\ufeff\n<HTML>")
    assert not looks_like_page(REFERENCE)


LINES = st.sampled_from([*REFERENCE.splitlines(), "|", "|`a`|", "## ", "#", "~~", "|`x`|`Map< a , b >`||"])


@given(st.lists(st.one_of(LINES, st.text(max_size=30)), max_size=20).map("\n".join))
def test_no_text_is_answered_with_anything_but_a_reference_or_a_refusal(text):
    """Whatever is read, the command can say what is wrong with it."""
    for reader in (parse_markdown, parse_page):
        with contextlib.suppress(PermanentError):
            assert reader(text).types
