"""What a report is made of: a run's database, read at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.orchestrator.store import Event, MethodInfo, Picture, Reference, Row, Store


@dataclass(frozen=True)
class Results:
    """What a run's database holds, as `Store` returns it; the methods by their served name."""

    rows: Sequence[Row] = ()
    references: Sequence[Reference] = ()
    methods: Mapping[str, MethodInfo] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Event] = ()


def read(store: Store) -> Results:
    """Read everything that a report is made of."""
    methods = {info.name: info for info in store.methods()}
    rows, references, pictures = store.rows(), store.references(), store.pictures()
    return Results(rows, references, methods, pictures, store.settings(), store.events())
