"""Whether a run is a full one: ``tox -e full``, before a release, takes hours for what each run can have a part of."""

import os
from collections.abc import Mapping
from typing import TypeVar

_Way = TypeVar("_Way")

FULL = bool(os.environ.get("AGENT_DATASTORE_TEST_FULL"))

EXAMPLES_ON_SERVERS = 60 if FULL else 20
"""How many examples the kit's properties generate on servers, where each takes dozens of requests."""
EXAMPLES_OF_A_VARIANT = 60 if FULL else 15
"""How many they generate where an adapter is opened in another way. In CI it has had the same ones already."""

MANY_ON_SERVERS = 12_000 if FULL else 3_000
"""How many records the kit's largest test writes on servers, which take a millisecond for each, and another to remove
it. The adapters' pages are as much smaller (`tests.conformance.paging`)."""


def times(usual: int, full: int) -> int:
    """Return how often to try something."""
    return full if FULL else usual


def some(ways: Mapping[str, _Way], number: int) -> dict[str, _Way]:
    """Return every third of the ways in which something can go wrong, and all of them in a full run.

    For tests of each way at each place. What recognises a fault hardly depends on the place, and what follows from it
    hardly on the way. So each way is tried, and each place, but not each pair of them.

    Args:
        ways: The ways by name.
        number: Of the place: it decides which third, so that three places in a row are tried in all ways.
    """
    return {name: way for position, (name, way) in enumerate(ways.items()) if FULL or (position + number) % 3 == 0}
