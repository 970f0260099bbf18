"""The names of tenants' databases.

A database is called ``<base>-<tenant>``: the name in the URL, and the user id, in which each byte of UTF-8 other than
``a-z`` and ``0-9`` is written as ``_`` and two hex digits. Such a name is valid for a file, a database, a table and a
collection, even if upper and lower case are not distinguished. The encoded user id has no ``-``, so no two tenants
share a name, and it decodes to exactly the user id.
"""

from __future__ import annotations

import re

SEPARATOR = "-"
_ESCAPED = re.compile(r"[^a-z0-9]")
_TENANT = re.compile(r"(?:[a-z0-9]|_[0-9a-f]{2})+")


def encode_tenant(user_id: str) -> str:
    """Return a user id as it is written in the name of a database."""
    return _ESCAPED.sub(lambda match: "".join(f"_{byte:02x}" for byte in match[0].encode()), user_id)


def decode_tenant(name: str) -> str:
    """Return the user id that `encode_tenant` encoded.

    Raises:
        ValueError: If the name was not made by `encode_tenant`.
    """
    if not _TENANT.fullmatch(name):
        raise ValueError("no name of a tenant")
    user_id = re.sub(r"_(..)|(.)", lambda match: chr(int(match[1], 16)) if match[1] else match[2], name)
    user_id = user_id.encode("latin-1").decode()
    if encode_tenant(user_id) != name:
        raise ValueError("no name of a tenant")
    return user_id
