"""Records of format 1, whose ids end with the key in URL-safe base64, padded; see `datastore.formats`.

A document holds its key beside its id. So it shows in which format its id is, although the id alone does not.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from urllib.parse import unquote

from datastore.errors import InvalidNameError
from datastore.formats import EARLIEST, FORMAT
from datastore.ids import encode_key, encode_name
from datastore_couchdb.codec import is_foreign


def format_of_record(document: dict[str, Any]) -> int | None:
    """Return the format of a record by its id and its key; ``None`` for what is no record of the store."""
    id, key = document["_id"], document.get("key")
    if is_foreign(document) or type(key) is not str or id.count(":") != 2:
        return None
    encoded = id.rpartition(":")[2]
    try:
        if encoded == encode_key(key):
            return FORMAT
        return EARLIEST if encoded == _earlier_key(key) else None
    except InvalidNameError:
        return None


def is_earlier_id(text: str) -> bool:
    """Return whether a text is the id of a record in format 1."""
    try:
        user, namespace, encoded = text.split(":")
        key = urlsafe_b64decode(encoded).decode()
        names = (
            encode_name(unquote(user, errors="strict"), "user_id"),
            encode_name(unquote(namespace, errors="strict"), "namespace"),
        )
    except ValueError:
        return False
    return bool(key) and ":".join((*names, _earlier_key(key))) == text


def _earlier_key(key: str) -> str:
    return urlsafe_b64encode(key.encode()).decode()
