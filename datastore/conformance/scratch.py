"""Opens the scratch area for the kit. It is importable, because tests with several processes send it to them."""

from __future__ import annotations

import os

from datastore.conformance.harness import Harness
from datastore.connecting import connect
from datastore.moving.emptying import URL_OF_SCRATCH, before_everything, empty


class ScratchHarness(Harness):
    """Uses the same place for every test, and empties it after each one."""

    name = "scratch"

    def url(self) -> str:
        """See `Harness.url`."""
        return os.environ[URL_OF_SCRATCH]

    def close(self) -> None:
        """See `Harness.close`."""
        with connect(os.environ[URL_OF_SCRATCH], tracking="off", clock=before_everything) as store:
            empty(store)
