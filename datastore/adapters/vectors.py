"""What indexes of vectors have in common: the numbers of one, how many it takes, and what an administrator is told."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

from datastore.administration import Diagnostic
from datastore.errors import UnsupportedError


def numbers_of(vector: bytes) -> array[float]:
    """Return the numbers of a vector (`datastore.backend.Put.vector`)."""
    numbers = array("f", vector)
    if sys.byteorder == "big":  # pragma: no cover - no such machine runs the tests
        numbers.byteswap()
    return numbers


def check_dimensions(dimensions: int, most: int, backend: str) -> None:
    """Refuse an index of vectors of more dimensions than a database takes.

    Args:
        dimensions: How many are wanted.
        most: How many it takes.
        backend: The adapter's name.

    Raises:
        UnsupportedError: If there are too many.
    """
    if dimensions > most:
        raise UnsupportedError(
            f"an index takes {most:,} dimensions at most, not {dimensions:,}; searches are exact", backend=backend
        )


def examined(names: Sequence[str], needs: str = "") -> Diagnostic:
    """Return what an administrator is told of the indexes of vectors.

    Args:
        names: Those that there are.
        needs: What else it takes to make one: a text that follows the call.
    """
    if names:
        return Diagnostic(True, f"indexes of vectors: {', '.join(names)}")
    made = f"memory.ensure_index() makes one{needs}"
    return Diagnostic(True, f"it has no index of vectors: all searches are exact ({made})")
