"""What CouchDB 3.5 makes of a Mango selector, where PouchDB makes something else of it.

It is written from CouchDB's documentation and from its sources (``mango_selector.erl``, ``mango_doc.erl``).
"""

import base64
import functools
import json
import unicodedata
from typing import Any

_NOT_FOUND, _BAD_PATH = object(), object()


def matches(selector: dict[str, Any], document: dict[str, Any]) -> bool:
    """Return whether CouchDB finds a document by a selector."""
    return _holds(selector, document, negated=False)


def page(
    selector: dict[str, Any],
    documents: list[dict[str, Any]],
    columns: list[str],
    limit: int,
    bookmark: str,
    *,
    backward: bool = False,
):
    """Return CouchDB's answer to a query: what follows a bookmark in the order of an index, and the next bookmark.

    Args:
        selector: What to find.
        documents: All that there are.
        columns: What the index is on; ids decide between equals.
        limit: The most documents.
        bookmark: ``"nil"`` for the beginning.
        backward: Whether the last of the index comes first.

    Raises:
        ValueError: If the bookmark is none.
    """
    begin: tuple[list, bytes] | None = None
    if bookmark != "nil":
        key, id = json.loads(base64.urlsafe_b64decode(bookmark))
        begin = (_key(key), raw(id))
    found = []
    for document in documents:
        key = [field(document, name) for name in columns]
        if _NOT_FOUND in key or _BAD_PATH in key:
            continue  # CouchDB's index leaves it out; PouchDB's has it under null
        place = (_key(key), raw(document["_id"]))
        follows = begin is None or (place < begin if backward else place > begin)
        if follows and matches(selector, document):
            found.append((place, key, document))
    found.sort(key=lambda one: one[0], reverse=backward)
    found = found[:limit]
    last = json.dumps([found[-1][1], found[-1][2]["_id"]]) if found else ""
    bookmark = base64.urlsafe_b64encode(last.encode()).decode() or "nil"
    return {"docs": [document for _, _, document in found], "bookmark": bookmark}


def _key(values: list) -> list:
    return [collated(value) for value in values]


def _holds(selector: dict[str, Any], document: dict[str, Any], *, negated: bool) -> bool:
    """Negations are moved down to the tests, as CouchDB does it: a missing field fails a negated test as well."""
    results = []
    for name, operand in selector.items():
        if name in ("$and", "$or", "$nor"):
            inner_negated = negated != (name == "$nor")
            inner = [_holds(one, document, negated=inner_negated) for one in operand]
            every = negated if name == "$or" else inner_negated if name == "$nor" else not negated
            results.append(all(inner) if every else any(inner))
        elif name == "$not":
            results.append(_holds(operand, document, negated=not negated))
        else:
            tests = (
                operand
                if isinstance(operand, dict) and any(key.startswith("$") for key in operand)
                else {"$eq": operand}
            )
            value = field(document, name)
            compared = raw if name == "_id" else collated
            each = [_passes(value, test, argument, compared, negated=negated) for test, argument in tests.items()]
            results.append(any(each) if negated else all(each))
    return any(results) if negated else all(results)


def _passes(value: Any, test: str, argument: Any, key: Any, *, negated: bool) -> bool:
    if test == "$exists":
        wanted = argument != negated
        return value is not _BAD_PATH and wanted == (value is not _NOT_FOUND)
    if value is _NOT_FOUND or value is _BAD_PATH:
        return False
    return _TESTS[test](value, argument, key) != negated


def field(document: Any, name: str) -> Any:
    """Return what CouchDB finds under a dotted name."""
    assert "\\" not in name
    for step in name.split("."):
        assert step
        if isinstance(document, dict):
            if step not in document:
                return _NOT_FOUND
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return _BAD_PATH
    return document


def is_in_index(document: dict[str, Any], fields: list[str]) -> bool:
    """Return whether an index on some fields holds a document."""
    return all(field(document, name) not in (_NOT_FOUND, _BAD_PATH) for name in fields)


def _type(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


_TESTS = {
    "$eq": lambda value, argument, key: key(value) == key(argument),
    "$ne": lambda value, argument, key: key(value) != key(argument),
    "$gt": lambda value, argument, key: key(value) > key(argument),
    "$gte": lambda value, argument, key: key(value) >= key(argument),
    "$lt": lambda value, argument, key: key(value) < key(argument),
    "$lte": lambda value, argument, key: key(value) <= key(argument),
    "$in": lambda value, argument, key: (
        not {key(one) for one in argument}.isdisjoint(map(key, value if isinstance(value, list) else [value]))
    ),
    "$type": lambda value, argument, key: _type(value) == argument,
    "$size": lambda value, argument, key: isinstance(value, list) and len(value) == argument,
}


def raw(value: Any) -> Any:
    """Ids within a selector compare by their bytes."""
    return value.encode()


def by_bytes(value: Any) -> Any:
    """Return what a key compares by in a view of raw collation: text, or a list of texts."""
    return [raw(one) for one in value] if isinstance(value, list) else raw(value)


def collated(value: Any) -> Any:
    """Return what a value compares by: types one after another, text about as ICU does it."""
    if value is None or isinstance(value, bool):
        return (1 if value is None else 2 + value,)
    if isinstance(value, int | float):
        return (4, value)
    if isinstance(value, str):
        return (5, _text(value))
    if isinstance(value, list):
        return (6, tuple(map(collated, value)))
    return (7, tuple((_text(name), collated(child)) for name, child in value.items()))


@functools.cache
def _text(text: str) -> Any:
    """Canonically equivalent texts are equal, and characters that nobody sees are as if they were not there."""
    seen = "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one) not in ("Cc", "Cf"))
    letters = "".join(one for one in seen if not unicodedata.combining(one))
    return (letters.casefold(), seen.casefold(), seen.swapcase())
