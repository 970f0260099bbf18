"""Search by words: record after record of several namespaces, as far as one page goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from datastore.agent import AgentDataStore
from datastore.errors import InvalidValueError
from datastore.memory.keywords import words_of
from datastore.record import Record
from datastore.values import encode

RECORDS, NAMESPACES = 2_000, 50
"""As far as one page looks: what it costs is not what there is."""
_FOUND = 50
_CHARACTERS = 2_000_000  # of all values together: some tenths of a second
_AROUND = 60  # characters before a word that is found, and after it


class Hit(NamedTuple):
    """A record that a search has found."""

    record: Record
    excerpt: str | None
    """Where its text is like the question; ``None`` to show the beginning of the value."""
    score: float | None = None


class Place(NamedTuple):
    """Where the next page goes on."""

    namespace: str
    key: str | None
    """The first key there; ``None`` for all of the namespace."""


class Looked(NamedTuple):
    """What one page has found."""

    found: list[Hit]
    records: int
    """How many were looked at."""
    then: Place | None
    """``None`` if that were all."""


def look(data_store: AgentDataStore, question: str, prefix: str, start: Place | None) -> Looked:
    """Return records that have words which begin with those of a question, in keys, values or metadata.

    Args:
        data_store: The person's store for the user.
        question: The words; all of them must be there.
        prefix: What the namespaces begin with.
        start: Where to begin.

    Raises:
        InvalidValueError: If there is no word in the question.

    Requests: those of `AgentDataStore.list_namespaces` with a limit of 51, and of `iter_records` in up to 50 of these,
    with a limit of 2,001 for all together.
    """
    wanted = frozenset(words_of(question))
    if not wanted:
        raise InvalidValueError("type at least one word, of letters or digits")
    names = data_store.list_namespaces(prefix, start=start and start.namespace, limit=NAMESPACES + 1)
    found, looked_at, left = list[Hit](), 0, _CHARACTERS
    for name in names[:NAMESPACES]:
        first = start.key if start is not None and start.namespace == name else None
        for record in data_store.use_namespace(name).iter_records(start=first, limit=RECORDS - looked_at + 1):
            if looked_at == RECORDS or len(found) == _FOUND or left < 0:
                return Looked(found, looked_at, Place(name, record.key))
            texts = list(texts_of([record.key, record.value, record.metadata]))
            looked_at, left = looked_at + 1, left - sum(map(len, texts))
            excerpt = excerpt_of(texts, wanted)
            if excerpt is not None:
                found.append(Hit(record, excerpt))
    return Looked(found, looked_at, Place(names[-1], None) if len(names) > NAMESPACES else None)


def texts_of(value: Any) -> Iterator[str]:
    """Yield the texts, the names of fields and the numbers in a value, in order."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            rest += [part for pair in reversed(one.items()) for part in reversed(pair)]
        elif isinstance(one, list):
            rest += reversed(one)
        elif one is not None and not isinstance(one, bool):
            yield encode(one).strip()


def excerpt_of(texts: list[str], wanted: frozenset[str]) -> str | None:
    """Return some text around the first word that begins with a wanted one; ``None`` if one of them is missing."""
    missing, excerpt = set(wanted), None
    for text in texts:
        there = {want for word in words_of(text) for want in missing if word.startswith(want)}
        missing -= there
        if there and excerpt is None:
            folded = text.casefold()
            at = max(min((place for want in there if (place := folded.find(want)) >= 0), default=0) - _AROUND, 0)
            excerpt = ("…" if at else "") + text[at : at + 2 * _AROUND]
        if not missing:
            return excerpt
    return None
