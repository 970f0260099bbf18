"""The flag beside each record that may expire; see `datastore_couchdb.expiring`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from datastore.ids import is_id
from datastore_couchdb.client import refusal_of

FLAG = "!"
"""What the id of a flag has after that of its record: it is in no id of a record, and before all that is."""
_TIME = 0
"""What a flag has for ``expiresAt``: the index holds it, before all times; to a view it is as if it was not there."""


def flag_of(id: str) -> str:
    """Return the id of a record's flag."""
    return id + FLAG


def is_flag(id: str, is_id: Callable[[str], bool] = is_id) -> bool:
    """Return whether an id is that of a flag; ``is_id`` says which ids records have."""
    return id.endswith(FLAG) and is_id(id[:-1])


def flag_text(id: str) -> str:
    """Return the flag of a record as JSON text."""
    user_id = unquote(id.partition(":")[0])
    flag = {"_id": flag_of(id), "userId": user_id, "namespace": "", "expiresAt": _TIME}
    # A revision, since a document without one is another program's; and no namespace, so that nobody counts it.
    return json.dumps(flag | {"revision": "flag", "about": "a record that may expire"}, ensure_ascii=False)


def written(answers: Sequence[dict[str, Any]]) -> None:
    """See that flags were written, or were there.

    Raises:
        PermissionDeniedError: If the server refuses them.
        BackendUnavailableError: If it failed.
    """
    for answer in answers:
        if (refusal := refusal_of(answer)) is not None:
            raise refusal
