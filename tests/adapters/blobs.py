"""The calls of blobs whose requests the tests of each server count."""

from collections.abc import Callable

from datastore import Blobs
from datastore.blobs.heads import PART


def calls_of(blobs: Blobs) -> dict[str, Callable[[], object]]:
    """Return them in the order in which they are made: each finds what those before it have left."""
    return {
        "put 9 parts": lambda: blobs.put("blob", bytes(9 * PART)),
        "put over it": lambda: blobs.put("blob", b"new"),
        "stat": lambda: blobs.stat("blob"),
        "get": lambda: blobs.get("blob"),
        "open and read": lambda: blobs.open("blob").read(1),
        "list": lambda: blobs.list(),
        "delete": lambda: blobs.delete("blob"),
    }
