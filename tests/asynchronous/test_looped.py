"""The tests' own way to the twin: nothing that the garbage collector does on the loop waits for the loop."""

import asyncio
import gc
import io

import pytest

from tests.asynchronous.looped import LoopedReader, on_the_loop


def test_a_reader_that_nobody_has_any_more_is_closed_on_the_loop():
    closed = []

    class Reader:
        async def close(self):
            closed.append(True)

    kept = [io.BufferedReader(LoopedReader(Reader()))]

    async def drop():
        kept.clear()
        gc.collect()

    on_the_loop(drop())
    on_the_loop(asyncio.sleep(0))
    assert closed == [True]


def test_the_loop_does_not_wait_for_itself():
    async def waiting():
        nothing = asyncio.sleep(0)
        try:
            on_the_loop(nothing)
        finally:
            nothing.close()

    with pytest.raises(AssertionError, match="wait for itself"):
        on_the_loop(waiting())
