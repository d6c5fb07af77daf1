"""Every attack on a bridge at this broker: refused or contained, and a normal event works, also after restarts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile.attack import Group, groups
from tests.hostile.stage import Stage, Venue


@pytest.fixture(scope="module")
def stage(needs_rabbitmq: None, start_stage: Callable[[Venue], Stage]) -> Stage:
    """The bridge at this broker."""
    return start_stage(Venue.RABBITMQ)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", groups(Venue.RABBITMQ, outlasts=False), ids=lambda group: group.name)
def test_every_attack_is_contained(group: Group, stage: Stage) -> None:
    """No attack of the group stops, slows or fools the bridge."""
    group.run(stage)
