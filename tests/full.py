"""Whether a run is a full one: ``tox -e full``, before a release, takes hours for what each run can have a part of."""

import os

FULL = bool(os.environ.get("AGENT_DATASTORE_TEST_FULL"))


def times(usual: int, full: int) -> int:
    """Return how often to try something."""
    return full if FULL else usual
