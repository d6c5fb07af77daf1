"""Valid workflows of every template type, in every release that has the feature."""

import pytest
from valid_workflows import LIBRARY, RELEASES, SAMPLES

CASES = [(one, version) for one in SAMPLES for version in RELEASES]


@pytest.mark.parametrize(("sample", "version"), CASES, ids=[f"{one.name}-{version}" for one, version in CASES])
def test_a_feature_is_valid_in_the_releases_that_have_it_and_in_no_other(sample, version):
    """What Argo takes passes; what a release lacks is refused by name."""
    found = LIBRARY.validator(version).problems(sample.manifest, sample.kind)
    if sample.releases.cover(version):
        assert [one.text for one in found] == []
    else:
        assert {one.code for one in found} <= {"unknown-field", "missing-field"}
        assert "unknown-field" in {one.code for one in found}
