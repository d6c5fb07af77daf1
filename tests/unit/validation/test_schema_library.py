"""Which schema a cluster gets, and that each is loaded and compiled once."""

import threading

import pytest

from bridge.core.errors import ConfigError
from bridge.validation.library import SchemaLibrary
from bridge.validation.versions import ALL, Releases, parse_version, since, until

LIBRARY = SchemaLibrary()


def test_the_five_reviewed_releases_are_shipped_oldest_first():
    """3.5 to 4.1 can be validated without a network."""
    assert [one.rpartition(".")[0] for one in LIBRARY.versions] == ["3.5", "3.6", "3.7", "4.0", "4.1"]
    assert LIBRARY.newest == LIBRARY.versions[-1]


@pytest.mark.parametrize(
    ("text", "version", "exact"),
    [
        ("v4.1.2", "4.1.2", True),
        ("4.1.2", "4.1.2", True),
        ("v4.1.2+a1b2c3.dirty", "4.1.2", True),
        ("4.1", "4.1.2", True),
        ("3.5", "3.5.15", True),
        ("v4.1.9", "4.1.2", False),
        ("v4.1.0", "4.1.2", False),
        ("v3.9.1", "3.7.18", False),
        ("v3.10.0", "3.7.18", False),
        ("v4.2.0-rc1", "4.1.2", False),
        ("v9.0.0", "4.1.2", False),
        ("v3.4.9", "3.5.15", False),
        ("latest", "4.1.2", False),
        ("", "4.1.2", False),
    ],
)
def test_a_cluster_gets_its_own_schema_or_the_nearest_known_below_with_a_note(text, version, exact):
    """An unknown version is said, never an error: an Argo upgrade must not stop the bridge."""
    choice = LIBRARY.for_version(text)
    assert (choice.version, choice.exact) == (version, exact)
    assert bool(choice.note) is not exact
    assert exact or version in choice.note


def test_a_patch_below_the_known_ones_gets_the_nearest_of_its_own_release(tmp_path):
    """Fields do not change within a release, so its own later patch is nearer than an earlier release."""
    for version in ("4.0.10", "4.1.2", "4.1.7"):
        (tmp_path / f"{version}.json").write_text("{}")
    library = SchemaLibrary(tmp_path)
    assert [library.for_version(text).version for text in ("4.1.1", "4.1.5", "4.1.8", "4.1")] == [
        "4.1.2",
        "4.1.2",
        "4.1.7",
        "4.1.7",
    ]


def test_an_installation_without_schemas_says_so(tmp_path):
    """Nothing may be validated against nothing."""
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ConfigError) as caught:
        SchemaLibrary(tmp_path)
    assert caught.value.code == "no-schemas"


def test_a_validator_is_made_once_for_all_threads():
    """Compiling takes milliseconds; the hot path must find it done."""
    library, seen = SchemaLibrary(), []
    threads = [threading.Thread(target=lambda: seen.append(library.validator("4.1.2"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len({id(one) for one in seen}) == 1


def test_an_unknown_version_has_no_validator():
    """A typo in the code is not answered with some other release."""
    with pytest.raises(KeyError):
        LIBRARY.validator("4.1")


def test_the_releases_that_have_a_field_are_told():
    """For "it is in Argo 3.5, 3.6 and 3.7"."""
    assert LIBRARY.releases_with("Synchronization", "mutex", "4.1.2") == ("3.5", "3.6", "3.7")
    assert LIBRARY.releases_with("Synchronization", "mutecks") == ()
    assert LIBRARY.releases_with("NoSuchType", "mutex") == ()


@pytest.mark.parametrize("text", ["", "v", "4", "4.x", "four", "4.1.2.3", "99999.1.1", "latest"])
def test_what_is_no_version_is_none(text):
    """A build of a branch reports its name."""
    assert parse_version(text) is None


def test_ranges_include_both_ends_and_compare_by_number():
    """3.10 comes after 3.9."""
    assert Releases("3.6", "3.9").cover("3.6.19")
    assert not Releases("3.6", "3.9").cover("3.10.0")
    assert since("3.10").cover("4.0.0")
    assert until("3.5").cover("3.5.99")
    assert not until("3.5").cover("3.6.0")
    assert ALL.cover("0.1")
