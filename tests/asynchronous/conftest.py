"""What holds in every test here: nothing blocks a loop, asyncio has nothing to log, and no thread is left."""

import gc
import logging
import threading
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(autouse=True)
def _nothing_blocks_a_loop() -> Iterator[None]:
    with blockbuster_ctx():
        yield


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio logs a task that was destroyed while it waited, and an exception of a future that nobody retrieved."""
    with caplog.at_level(logging.WARNING):
        yield
        gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("asyncio")] == []
    assert [thread for thread in threading.enumerate() if thread.name == "datastore-asynchronous"] == []
