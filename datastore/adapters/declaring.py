"""Declared indexes: how they are named, and what a database keeps of them for other processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from datastore.adapters.choosing import Declared
from datastore.ids import decode_name
from datastore.queries.tree import Path

I = TypeVar("I", bound=Declared)  # noqa: E741 - an index


def words_of(fields: Sequence[Path], longest: int) -> str:
    """Return what a name says of an index to a reader: its fields, in letters, digits and ``_``, cut off."""
    return re.sub("[^A-Za-z0-9]+", "_", "_".join(".".join(path) for path in fields))[:longest]


def digest_of(text: str, digits: int) -> str:
    """Return some hex digits that tell a text from others."""
    from hashlib import sha256  # here, because importing it loads OpenSSL

    return sha256(text.encode()).hexdigest()[:digits]


def namespace_of(encoded_namespace: str | None) -> str | None:
    """Return the plain name of the namespace that `datastore.backend.Backend.ensure_index` is given, if it is one."""
    return None if encoded_namespace is None else decode_name(encoded_namespace)


def kept(fields: Sequence[Path], namespace: str | None) -> str:
    """Return what is kept of an index in the database, so that `read` finds it again."""
    return json.dumps([fields, namespace])


def read(text: str, name: str, make: Callable[[tuple[Path, ...], str | None], I]) -> I | None:
    """Return the index of which a text was kept; ``None`` if another program made it, or another version.

    Args:
        text: What was kept; it may be anything.
        name: The name that it has in the database.
        make: Makes an index of fields and a namespace.
    """
    try:
        fields, namespace = json.loads(text)
        index = make(tuple(map(tuple, fields)), namespace)
        return index if index.name == name else None
    except (ValueError, TypeError):
        return None
