"""All mappings of a configuration, for ingest: the filters to subscribe to, and the mappings of a message.

Frozen once made; a reload makes a new one. Thread: any (see `routes` for what is remembered).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge.core.topic_filter import covers
from bridge.interface.status import NO_REQUESTS, StatusRequests
from bridge.mapping.routes import RouteTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Mapping as MappingOf

    from bridge.mapping.compiled import Mapping
    from bridge.mapping.routes import Match
    from bridge.mapping.ruled import RuledMapping

NO_RULES: MappingOf[str, RuledMapping] = MappingProxyType({})


class MappingSet:
    """The mappings of one configuration, in the order of definition.

    Attributes:
        ruled: those with rules over time, by name.
    """

    def __init__(self, mappings: Iterable[Mapping] = (), ruled: MappingOf[str, RuledMapping] = NO_RULES) -> None:
        self._mappings = tuple(mappings)
        self.ruled = ruled
        self._by_name = {mapping.name: mapping for mapping in self._mappings}
        named = {mapping.connection for mapping in self._mappings if mapping.connection}
        self._tables = {connection: self._table(connection) for connection in named}
        self._everywhere = self._table("")

    def __len__(self) -> int:
        return len(self._mappings)

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._mappings)

    def get(self, name: str) -> Mapping | None:
        """Return the mapping of that name, or None."""
        return self._by_name.get(name)

    def status_requests(self, name: str, topic: str) -> StatusRequests:
        """Return the status options of a mapping for a workflow, if it still exists; see `Mapping.status_requests`."""
        mapping = self.get(name)
        return NO_REQUESTS if mapping is None else mapping.status_requests(topic)

    def filters(self, connection: str) -> frozenset[str]:
        """Return the MQTT topic filters to subscribe to on a connection; none of them covers another."""
        return self._tables.get(connection, self._everywhere).filters

    def retained_filters(self, connection: str) -> frozenset[str]:
        """Return those of `filters` for which retained messages are wanted."""
        mappings = [mapping for mapping in self._mappings if mapping.connection in ("", connection)]
        wanted = [one for mapping in mappings if mapping.takes_retained for one in mapping.topics.filters]
        return frozenset(one for one in self.filters(connection) if any(covers(one, other) for other in wanted))

    def route(self, connection: str, topic: str) -> tuple[Match, ...]:
        """Return every mapping that a message matches, in the order of definition."""
        return self._tables.get(connection, self._everywhere).match(topic)

    def _table(self, connection: str) -> RouteTable:
        return RouteTable(mapping for mapping in self._mappings if mapping.connection in ("", connection))
