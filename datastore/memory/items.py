"""What `datastore.memory.Memory` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from datastore.record import Record

Metric: TypeAlias = Literal["cosine", "dot", "euclidean"]
"""How alike two vectors are: the cosine of their angle, their dot product, or the distance between them."""


class MemoryItem(NamedTuple):
    """One record of a memory."""

    key: str
    text: str | None
    """Its value; ``None`` if that is no text (``record.value`` has it)."""
    metadata: dict[str, Any]
    record: Record
    """The whole record, with its provenance."""


class Match(NamedTuple):
    """One record that a search has found."""

    key: str
    score: float
    """How alike it is, more being nearer: the cosine or the dot product; of a distance, the distance below 0."""
    text: str | None
    """Its value; ``None`` if that is no text (``record.value`` has it)."""
    metadata: dict[str, Any]
    record: Record
    """The whole record, with its provenance, and with its namespace."""


class Ranked(NamedTuple):
    """One vector in memory, as near as it is."""

    score: float
    key: str
    revision: str
    place: int
    """In the matrix (`datastore.memory.matrix`)."""
