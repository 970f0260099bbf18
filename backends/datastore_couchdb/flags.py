"""The flag beside each record that may expire; see `datastore_couchdb.expiring`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from datastore.ids import SYSTEM, is_any_id
from datastore_couchdb.client import refusal_of

FLAG = "!"
"""The end of a flag's id, after the record's id: no record's id contains it, and it sorts before all that they do."""
_TIME = 0
"""The ``expiresAt`` of a flag. The index holds it, before all times; a view takes it for a missing one."""


def flag_of(id: str) -> str:
    """Return the id of a record's flag."""
    return id + FLAG


def is_flag(id: str, is_id: Callable[[str], bool] = is_any_id) -> bool:
    """Return whether an id belongs to a flag; ``is_id`` says which ids records have."""
    return id.endswith(FLAG) and is_id(id[:-1])


def flag_text(id: str) -> str:
    """Return the flag of a record as JSON text."""
    user_id = unquote(id.partition(":")[0].removesuffix(SYSTEM))
    flag = {"_id": flag_of(id), "userId": user_id, "namespace": "", "expiresAt": _TIME}
    # It has a revision, since a document without one is another program's, but no namespace, so that nothing counts it.
    return json.dumps(flag | {"revision": "flag", "about": "a record that may expire"}, ensure_ascii=False)


def written(answers: Sequence[dict[str, Any]]) -> None:
    """Check that flags were written, or existed already.

    Raises:
        PermissionDeniedError: If the server refuses one.
        BackendUnavailableError: If the server failed.
    """
    for answer in answers:
        if (refusal := refusal_of(answer)) is not None:
            raise refusal
