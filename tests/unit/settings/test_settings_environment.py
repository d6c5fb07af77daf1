"""Promises of the environment: it sets any key but connections, and says so where it cannot."""

from pathlib import Path

import pytest

from bridge.configfile.problems import Problems
from bridge.settings.environment import variables
from bridge.settings.loading import load_settings
from bridge.web.options import ListenAddress

BARE = 'connections: {plant: {mqtt: {url: "mqtt://localhost"}}}\n'
FILE = BARE + "bridge: {id: a, data-dir: d}\nargo: {url: http://file, namespaces: [factory]}\n"
LEVELS = "debug, info, warning or error"
DURATION = "a duration such as 500ms, 10s, 5m, 24h or 7d"
UNKNOWN = "warning: unknown-variable:"
DID_YOU_MEAN = 'did you mean "ARGO_BRIDGE_SPOOL_MAX_ROWS"?'
OWN = {"ARGO_BRIDGE_BRIDGE_ID": "b", "ARGO_BRIDGE_BRIDGE_DATA_DIR": "d"}
RISK = "insecure"  # test_settings_risks.py has its own


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("t")


def load(text, **environ):
    Path("bridge.yaml").write_text(text)
    problems = Problems()
    loaded = load_settings(Path("bridge.yaml"), environ, problems)
    return loaded.settings, [problem.render() for problem in problems.in_order() if problem.code != RISK]


def settings_of(text, **environ):
    settings, problems = load(text, **environ)
    assert problems == []
    return settings


def test_variables_win_over_the_file():
    """Scalars and lists, in sections that are there and that are not."""
    settings = settings_of(
        FILE,
        ARGO_BRIDGE_ARGO_URL="https://env",
        ARGO_BRIDGE_ARGO_NAMESPACES="one, two",
        ARGO_BRIDGE_SPOOL_KEEP_DONE="2h",
        ARGO_BRIDGE_DEAD_LETTERS_MAX_BYTES="1MiB",
        ARGO_BRIDGE_INTERFACE_OPERATIONS="",
        ARGO_BRIDGE_WEB_LISTEN="[::1]:0",
        ARGO_BRIDGE_ARGO_TLS_INSECURE="true",
    )
    assert settings.argo.url == "https://env"
    assert settings.argo.namespaces == ("one", "two")
    assert settings.spool.keep_done_s == 7200
    assert settings.dead_letters.max_bytes == 1 << 20
    assert settings.interface.operations == ()
    assert settings.web.listen == ListenAddress("::1", 0)
    assert settings.argo.tls.insecure
    assert settings_of(FILE, ARGO_BRIDGE_WEB_LISTEN="null").web.listen is None


def test_required_keys_may_come_from_the_environment_alone():
    """Only the connections need a file."""
    settings = settings_of(BARE, **OWN, ARGO_BRIDGE_ARGO_URL="http://a", ARGO_BRIDGE_ARGO_NAMESPACES="n")
    assert (settings.bridge.id, settings.argo.url) == ("b", "http://a")


def test_a_wrong_value_is_told_with_its_variable():
    """In place of file and line."""
    _, problems = load(FILE, ARGO_BRIDGE_SPOOL_KEEP_DONE="soon", ARGO_BRIDGE_LOG_LEVEL="")
    assert problems == [
        'environment ARGO_BRIDGE_LOG_LEVEL: wrong-type: log: "level" has no value; it must be ' + LEVELS,
        'environment ARGO_BRIDGE_SPOOL_KEEP_DONE: bad-value: spool: "keep-done" must be ' + DURATION + ', not "soon"',
    ]


def test_unknown_variables_are_warnings():
    """With a proposal, and never with their value."""
    _, problems = load(FILE, ARGO_BRIDGE_SPOL_MAX_ROWS="hunter2", ARGO_BRIDGE_CONNECTIONS_PLANT_URL="x", ARGO_BRIDG="y")
    assert problems == [
        f"environment ARGO_BRIDGE_CONNECTIONS_PLANT_URL: {UNKNOWN} ignored; connections can only be set in the file",
        f"environment ARGO_BRIDGE_SPOL_MAX_ROWS: {UNKNOWN} ignored; no key has this name; " + DID_YOU_MEAN,
    ]


def test_service_links_of_kubernetes_are_not_ours():
    """A service named argo-bridge puts them into every pod of its namespace."""
    links = (
        "PORT",
        "PORT_8080_TCP",
        "PORT_8080_TCP_ADDR",
        "SERVICE_HOST",
        "SERVICE_PORT_WEB",
        "WEB_PORT",
        "WEB_SERVICE_HOST",
    )
    settings_of(FILE, **{f"ARGO_BRIDGE_{name}": "tcp://10.0.0.1:8080" for name in links})


def test_bytes_that_are_no_text_are_refused():
    """The environment may hold any."""
    _, problems = load(FILE, ARGO_BRIDGE_BRIDGE_ID="a\udcff")
    assert problems == ["environment ARGO_BRIDGE_BRIDGE_ID: bad-character: the value is not UTF-8"]


def test_a_variable_below_something_that_is_no_section_leaves_the_file_to_tell():
    """It neither hides nor repairs what is wrong."""
    _, problems = load(FILE + "spool: 7\n", ARGO_BRIDGE_SPOOL_MAX_ROWS="5")
    assert problems == ['bridge.yaml:4:8: bad-value: "spool" must be a map of keys, not "7"']


def test_every_variable_sets_a_key_of_its_own():
    """No two keys share one, and none is taken for a service link."""
    names = list(variables())
    assert "ARGO_BRIDGE_DEAD_LETTERS_MAX_ROWS" in names
    assert not [name for name in names if "_SERVICE_HOST" in name or "_PORT" in name or "CONNECTIONS" in name]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"ARGO_SERVER": "argo:2746"}, "https://argo:2746"),
        ({"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "false"}, "http://argo:2746"),
        ({"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "1"}, "https://argo:2746"),
        ({"ARGO_SERVER": "http://argo:2746", "ARGO_SECURE": "true"}, "http://argo:2746"),
        ({"ARGO_SERVER": "argo:2746", "ARGO_BASE_HREF": "/argo/"}, "https://argo:2746/argo"),
        ({"ARGO_SERVER": "argo:2746", "ARGO_BASE_HREF": "argo"}, "https://argo:2746/argo"),
    ],
)
def test_argos_own_variables_say_where_the_server_is(environ, url):
    """As they do for Argo's command line."""
    settings = settings_of(BARE, **OWN, **environ, ARGO_NAMESPACE="factory")
    assert settings.argo.url == url
    assert settings.argo.namespaces == ("factory",)
    assert settings.argo.token is None
    assert not settings.argo.tls.insecure


def test_token_and_verification_come_with_the_server():
    """ARGO_TOKEN is the whole header value."""
    environ = {
        "ARGO_SERVER": "a:1",
        "ARGO_TOKEN": "Bearer x",
        "ARGO_INSECURE_SKIP_VERIFY": "true",
        "ARGO_NAMESPACE": "n",
    }
    settings = settings_of(BARE, **OWN, **environ)
    assert settings.argo.token.reveal() == "Bearer x"
    assert settings.argo.tls.insecure


def test_the_file_wins_over_argos_variables():
    """A token for one server is never sent to another."""
    environ = {"ARGO_SERVER": "a:1", "ARGO_TOKEN": "Bearer x", "ARGO_INSECURE_SKIP_VERIFY": "1", "ARGO_NAMESPACE": "n"}
    settings = settings_of(FILE, **environ)
    assert (settings.argo.url, settings.argo.namespaces) == ("http://file", ("factory",))
    assert settings.argo.token is None
    assert not settings.argo.tls.insecure
    text = BARE + "argo: {token-file: token, tls: {insecure: false}, namespaces: [m]}\n"
    settings = settings_of(text, **OWN, **environ)
    assert (settings.argo.url, settings.argo.token, settings.argo.namespaces) == ("https://a:1", None, ("m",))
    assert not settings.argo.tls.insecure


@pytest.mark.parametrize(
    "token", ["hunter2", "Bearer ", "Bearer a\r\nX: hunter2", "Bearer hunter2 x", "bearer hunter2"]
)
def test_a_token_that_would_break_the_header_is_refused_unseen(token):
    """Also a forgotten `Bearer`."""
    _, problems = load(BARE, **OWN, ARGO_SERVER="a:1", ARGO_NAMESPACE="n", ARGO_TOKEN=token)
    assert problems == [
        'environment ARGO_TOKEN: bad-value: it must be a complete header value: "Bearer ..." or "Basic ..."'
    ]


def test_wrong_values_of_argos_variables_are_told():
    """With the variable's name."""
    _, problems = load(BARE, **OWN, ARGO_SERVER="a:b", ARGO_SECURE="maybe", ARGO_NAMESPACE="N")
    assert [problem.split(": ")[0] for problem in problems] == [
        "environment ARGO_NAMESPACE",
        "environment ARGO_SECURE",
        "environment ARGO_SERVER",
    ]
