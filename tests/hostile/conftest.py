"""The stages of the hostile suite: one for all groups of a module, so that what one attack leaves meets the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.hostile.attack import groups
from tests.hostile.stage import Stage, Venue


@pytest.fixture(scope="module")
def start_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Venue], Stage]]:
    """Start a stage with the mappings of all groups; it ends with the module."""
    mappings = "".join(group.mappings for group in groups())
    with ExitStack() as started:
        yield lambda venue: started.enter_context(Stage(venue, tmp_path_factory.mktemp("hostile"), mappings))
