"""What opens the scratch area for the kit; importable, because tests with several processes send it to them."""

from __future__ import annotations

import os

from datastore.cli.conforming import URL_OF_SCRATCH, before_everything, empty
from datastore.conformance import Harness
from datastore.connecting import connect


class ScratchHarness(Harness):
    """The same place for every test, emptied after each."""

    name = "scratch"

    def url(self) -> str:
        """See `Harness.url`."""
        return os.environ[URL_OF_SCRATCH]

    def close(self) -> None:
        """See `Harness.close`."""
        with connect(os.environ[URL_OF_SCRATCH], tracking="off", clock=before_everything) as store:
            empty(store)
