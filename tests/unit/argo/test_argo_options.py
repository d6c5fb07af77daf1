"""Addresses of the Argo Server and paths of its API."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo import options
from bridge.argo.options import ArgoOptions, Secret
from bridge.argo.watch import WatchRequest
from bridge.configfile.fields import Section
from bridge.configfile.kinds import Place
from bridge.configfile.nodes import node_of
from bridge.configfile.problems import Problems
from bridge.core.errors import PermanentError
from tests.support.argo_options import argo_at


@pytest.mark.parametrize(
    "url",
    ["", "argo:2746", "ftp://argo", "http://", "http://a:99999", "http://u:p@argo", "http://a/?x=1", "http://a/#f",
     "http://a b", "http://a\r\nX: 1", "http://\u00e4", "http://[::1"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused(url):
    """Before anything is sent: no scheme, no host, credentials, queries, line breaks."""
    problems = Problems()
    Section(ArgoOptions).read(node_of({"url": url, "namespaces": ["factory"]}), Place(problems))
    assert [problem.code for problem in problems.found] in (["bad-value"], ["credentials-in-url"])


def test_a_base_path_goes_before_the_api():
    """ARGO_BASE_HREF, with or without a slash at its end."""
    text = {"url": "https://argo.example/argo/", "namespaces": ["factory"]}
    assert Section(ArgoOptions).read(node_of(text), Place(Problems())).url == "https://argo.example/argo"
    assert argo_at("http://[::1]:2746").place == "[::1]:2746"


def test_options_do_not_show_the_token():
    """A report with the options in it holds no secret."""
    assert "secret" not in repr(argo_at("http://a", token=Secret("Bearer secret")))


@given(st.text(max_size=80))
def test_a_name_from_a_message_never_leaves_its_place_in_the_path(name):
    """Either it is refused, or it is one segment that needs no quoting and is no verb or parent."""
    try:
        path = options.workflow_path("ns", name)
    except PermanentError:
        return
    assert path == f"/api/v1/workflows/ns/{name}"
    assert path.count("/") == 5
    assert not set(name) & set("/:?#%@ ") - {""}
    assert name.strip(".") == name


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a:stop", "@latest", "A", "a ", "", "a%2fb", "x" * 254])
def test_a_dangerous_name_is_refused(name):
    """These would reach another route than the one that policy allowed."""
    for build in (lambda: options.workflow_path("ns", name), lambda: options.workflow_path(name, "a"),
                  lambda: options.template_path("ns", name) if name else options.workflow_path("ns", "")):  # fmt: skip
        with pytest.raises(PermanentError) as raised:
            build()
        assert raised.value.code == "bad-name"


def test_paths_are_those_of_the_fact_sheet():
    """Each route, with "" for all namespaces where Argo has that."""
    assert options.workflows_path("ns") == "/api/v1/workflows/ns"
    assert options.workflows_path("") == "/api/v1/workflows/"
    assert options.workflow_path("ns", "a.b", "stop") == "/api/v1/workflows/ns/a.b/stop"
    assert options.template_path("ns") == "/api/v1/workflow-templates/ns"
    assert options.template_path("ns", "t") == "/api/v1/workflow-templates/ns/t"
    assert options.cluster_template_path("t") == "/api/v1/cluster-workflow-templates/t"
    assert options.watch_path("") == "/api/v1/workflow-events/"


def test_a_watch_leaves_out_by_exclusion():
    """One leading minus excludes the whole list, so that error frames stay whole."""
    parts = urlsplit(WatchRequest("ns", "a=b,c!=d", "12").path)
    query = parse_qs(parts.query)
    assert parts.path == "/api/v1/workflow-events/ns"
    assert query["listOptions.labelSelector"] == ["a=b,c!=d"]
    assert query["listOptions.resourceVersion"] == ["12"]
    first, *others = query["fields"][0].split(",")
    assert first.startswith("-result.object.")
    assert "result.object.status.nodes" in others
    assert all(field.startswith("result.object.") for field in others)
    assert "listOptions.resourceVersion" not in WatchRequest("ns").path
