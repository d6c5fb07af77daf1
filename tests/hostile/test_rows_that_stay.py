"""Attacks whose rows stay in the spool and run later: each group has a bridge and a broker of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile.attack import Group, groups
from tests.hostile.stage import Stage, Venue

NEEDS = {Venue.ACL: "needs_mosquitto", Venue.ANONYMOUS: "needs_mosquitto", Venue.RABBITMQ: "needs_rabbitmq"}
CASES = [(venue, group) for venue in Venue for group in groups(venue, outlasts=True)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("venue", "group"), CASES, ids=[f"{venue.name}-{group.name}" for venue, group in CASES])
def test_every_attack_is_contained(
    venue: Venue, group: Group, start_stage: Callable[[Venue], Stage], request: pytest.FixtureRequest
) -> None:
    """No attack of the group stops, slows or fools the bridge."""
    request.getfixturevalue(NEEDS[venue])
    group.run(start_stage(venue))
