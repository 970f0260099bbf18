"""Awaited runs: functions that are awaited, and those that are not."""

import asyncio

import pytest

import datastore
from datastore import InvalidValueError, StepFailedError


async def fetch(number):
    await asyncio.sleep(0)
    return number


async def fail():
    raise OSError


def test_coroutine_functions_are_steps_and_effects():
    async def main():
        async with datastore.connect_async("memory://") as store:
            runs = store.agent("ann", "worker").runs
            async with await runs.start("run") as run:
                assert await run.step("fetch", fetch, 1) == 1
                assert await run.step("called", lambda: fetch(2)) == 2
                assert await run.effect("pay", fetch, 3) == 3
                for function, retries in ((fail, 1), (fetch, 0), (lambda: fail(), 0)):
                    with pytest.raises(StepFailedError):
                        await run.step("bad", function, retries=retries, backoff=0)
                await run.wait_for("go")
            await runs.signal("run", "go", 4)
            async with await runs.resume("run") as run:
                assert await run.step("fetch", fail) == 1
                assert await run.step("called", fail) == 2
                assert await run.effect("pay", fail) == 3
                for _ in range(3):
                    with pytest.raises(StepFailedError):
                        await run.step("bad", fetch, 1)
                await run.finish(await run.wait_for("go"))
            return await runs.result("run")

    assert asyncio.run(main()) == 4


def test_a_step_that_is_cancelled_is_called_again_on_resume():
    async def main():
        async with datastore.connect_async("memory://") as store:
            runs = store.agent("ann", "worker").runs
            run = await runs.start("run")
            begun = asyncio.Event()

            async def hangs():
                begun.set()
                await asyncio.Event().wait()

            step = asyncio.create_task(run.step("hangs", hangs))
            await begun.wait()
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
            assert await run.step("hangs", fetch, 5) == 5
            assert [one.kind for one in await run.history()] == ["step"]

    asyncio.run(main())


def test_who_does_not_await_is_told():
    with datastore.connect("memory://") as store:
        run = store.agent("ann", "worker").runs.start("run")
        with pytest.raises(InvalidValueError, match="function is a coroutine function"):
            run.step("fetch", fetch, 1)
        with pytest.raises(InvalidValueError, match="unknown is a coroutine function"):
            run.effect("pay", int, unknown=fail)
        assert run.number == 0
