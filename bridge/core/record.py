"""`record`: a dataclass that is frozen for type checkers, and not at run time, for values made for every message.

A frozen dataclass sets each attribute through ``object.__setattr__``, and takes six times as long to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen: bool, slots: bool):
        """Make a class a dataclass; write ``@record(frozen=True, slots=True)``."""
        return dataclass(slots=slots, unsafe_hash=frozen)
