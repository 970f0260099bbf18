"""What a store meets without its callers' doing: forks, interrupts, signal handlers, vanished files, hostile agents."""

import os

FULL = bool(os.environ.get("AGENT_DATASTORE_TEST_FULL"))
"""Whether to try as often as `tox -e full` does, instead of as often as each run can afford."""


def times(usual: int, full: int) -> int:
    """Return how often to try something."""
    return full if FULL else usual
