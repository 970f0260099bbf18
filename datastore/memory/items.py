"""What `datastore.memory.Memory` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from datastore.backend import Document
    from datastore.memory.splitting import Span
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


class Part(NamedTuple):
    """What of a text is like the question; see `datastore.memory.splitting.Splitter`."""

    start: int
    """Where it begins in the text, in characters."""
    end: int
    """Where it ends: ``match.text[part.start : part.end]``."""
    text: str


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
    part: Part | None = None
    """Which part of the text is nearest; ``None`` if it is in one."""


def match_of(score: float, record: Record, span: Span | None) -> Match:
    """Return what is told of a record that a search has found.

    Args:
        score: How alike it is.
        record: The record.
        span: Which part of its text is nearest; ``None`` if it is in one.
    """
    text = record.value if isinstance(record.value, str) else None
    part = None if span is None or text is None else Part(*span, text[slice(*span)])
    return Match(record.key, score, text, record.metadata, record, part)


class Found(NamedTuple):
    """One record that a search has found, before the caller is given it."""

    score: float
    document: Document
    part: Span | None
    """Which part of its text is nearest; ``None`` if it is in one."""


class Ranked(NamedTuple):
    """One vector in memory, as near as it is."""

    score: float
    key: str
    revision: str
    place: int
    """In the matrix (`datastore.memory.matrix`)."""
    part: Span | None
    """Of which part of the text it is; ``None`` if that is in one."""
