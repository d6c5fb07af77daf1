"""Kubernetes' and Argo's rules for names and labels at their bounds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.validation import names


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (
            lambda text: names.object_name(text, 63),
            ["a", "a-b", "a.b", "9", "a" * 63],
            ["", "A", "-a", "a-", "a..b", "a_b", "a" * 64, "a\n"],
        ),
        (names.name_prefix, ["a", "a-", "a.-", "a" * 200], ["", "-", "A-", "a_"]),
        (names.namespace_name, ["a", "a-9", "n" * 63], ["", "a.b", "A", "n" * 64, "-a"]),
        (
            names.label_key,
            ["a", "A_b.c-9", "example.com/a", "k" * 63],
            ["", "a b", "/a", "a/", "a/b/c", "k" * 64, "Ex.com/a", "a\n"],
        ),
        (names.label_value, ["", "a", "A_b.c-9", "v" * 63], ["-", "a-", "a b", "v" * 64, "a\n"]),
        (names.template_name, ["a", "A-9", "a-", "t" * 128], ["", "-a", "a_b", "a.b", "t" * 129, "a\n"]),
        (names.parameter_name, ["a", "-", "_A9"], ["", "a.b", "a b", "a\n"]),
    ],
)
def test_a_rule_takes_the_good_and_says_what_is_wrong_with_the_bad(rule, good, bad):
    """Each rule is Kubernetes' or Argo's own, no stricter and no looser."""
    assert [one for one in good if rule(one)] == []
    assert [one for one in bad if not rule(one)] == []


@given(st.text(alphabet="aA9-._/ ", max_size=70))
def test_an_accepted_label_value_fits_kubernetes_own_expression(text):
    """The expression of apimachinery, written down a second time."""
    own = len(text) <= 63 and re.fullmatch(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", text) is not None
    assert (names.label_value(text) == "") == own
