"""The place of a document in the order that is wanted of what matches, and how much of the document that takes."""

from __future__ import annotations

from collections.abc import Callable

from datastore.backend import Document, Fields
from datastore.documents import fields_of
from datastore.places import Place
from datastore.queries.ordering import sort_key
from datastore.queries.shaping import Sort

KEY = ("$key",)
"""The path of a record's key."""


def place_of(sort: Sort) -> Callable[[Document], Place]:
    """Return the function that returns a document's place in an order.

    Ties are ordered by id, so that the order is always the same. Keys compare by code point, and times as the text that
    documents hold.
    """
    if not sort:
        return lambda document: (document.id,)
    if not any(map(_is_about_record, sort)):
        of_value = sort_key(sort)
        return lambda document: (*of_value(document.value), document.id)
    keys = [
        (True, sort_key([((pair[0][0][1:], *pair[0][1:]), pair[1])]))
        if _is_about_record(pair)
        else (False, sort_key([pair]))
        for pair in sort
    ]

    def place(document: Document) -> Place:
        record = fields_of(document)
        parts = (key(record if about_record else document.value)[0] for about_record, key in keys)
        return (*parts, document.id)

    return place


def _is_about_record(pair: tuple[tuple[str, ...], int]) -> bool:
    return pair[0][0].startswith("$")


def fields_for(sort: Sort) -> Fields:
    """Return how much of a document is needed to sort by ``sort`` and to return its value."""
    if not sort:
        return Fields.VALUE
    return Fields.ALL if any(_is_about_record(pair) and pair[0] != KEY for pair in sort) else Fields.VALUE
