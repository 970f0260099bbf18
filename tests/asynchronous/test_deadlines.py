"""An awaited call ends when its time is over, also while it waits for a worker: it is then not made at all."""

import asyncio

import pytest

from datastore import DeadlineExceededError, deadlines
from tests.asynchronous.backends import Held, opened
from tests.patience import PATIENCE

CALLS = {
    "get": lambda agent: agent.get("n"),
    "exists": lambda agent: agent.exists("n"),
    "get_many": lambda agent: agent.get_many(["n", "held"]),
    "get_record": lambda agent: agent.get_record("n"),
    "list_keys": lambda agent: agent.list_keys(),
    "set": lambda agent: agent.set("n", 2),
    "increment": lambda agent: agent.increment("n"),
    "modify": lambda agent: agent.modify("n", lambda value: value + 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_does_not_wait_for_a_worker_longer_than_it_may_take(call):
    async def main():
        backend = Held()
        async with opened(backend, workers=1) as store:
            agent, core = store.agent("u", "a"), store.sync._core
            await agent.set("n", 1)
            backend.hold = "write"
            first = asyncio.ensure_future(agent.set("held", 1))
            await backend.until_entered()
            allowed, core.max_seconds = core.max_seconds, 0.02
            for _ in range(2):  # the second one when somebody has looked at those that wait before
                with pytest.raises(DeadlineExceededError, match=r"max_seconds, which is 0\.02 s"):
                    await asyncio.wait_for(call(agent), PATIENCE)
            assert not first.done()
            core.max_seconds, backend.hold = allowed, ""
            backend.release()
            await first
            assert await agent.get_all() == {"n": 1, "held": 1}, "what was refused was not made"

    asyncio.run(main())


@pytest.mark.parametrize("call", [CALLS["get"], CALLS["set"]], ids=["get", "set"])
def test_the_error_names_the_time_of_the_call_and_not_of_one_around_its_loop(call):
    """A plain function that `modify` calls, of another store, may run a loop of its own in the same thread."""

    async def main():
        backend = Held()
        async with opened(backend, workers=1) as store:
            agent, core = store.agent("u", "a"), store.sync._core
            backend.hold = "write"
            first = asyncio.ensure_future(agent.set("held", 1))
            await backend.until_entered()
            allowed, core.max_seconds = core.max_seconds, 0.02
            with pytest.raises(DeadlineExceededError) as raised:
                await asyncio.wait_for(call(agent), PATIENCE)
            core.max_seconds, backend.hold = allowed, ""
            backend.release()
            await first
            assert "max_seconds, which is 0.02 s" in str(raised.value)

    with deadlines.within(0.01):
        asyncio.run(main())


def test_reads_that_wait_for_one_under_way_end_each_in_its_own_time():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent, core = store.agent("u", "a"), store.sync._core
            await agent.set("n", 1)
            backend.hold = "read"
            first = asyncio.ensure_future(agent.get("n"))
            await backend.until_entered()
            allowed, core.max_seconds = core.max_seconds, 0.02
            with pytest.raises(DeadlineExceededError):
                await asyncio.wait_for(agent.get("n"), PATIENCE)
            core.max_seconds = allowed
            second = asyncio.ensure_future(agent.get("n"))
            await asyncio.sleep(0.05)
            assert not second.done()
            backend.hold = ""
            backend.release()
            assert await first == await second == 1

    asyncio.run(main())


def test_an_error_of_a_step_does_not_wait_for_a_worker():
    """Whatever the call held was given up by the worker that met the error."""

    class Wrong(Exception):  # noqa: N818 - it stands for whatever a caller's function raises
        pass

    async def main():
        backend = Held()
        async with opened(backend, workers=1) as store:
            agent = store.agent("u", "a")
            await agent.set("n", 1)
            held = []

            def function(_):
                backend.hold = "write"
                held.append(asyncio.run_coroutine_threadsafe(agent.set("held", 1), loop))
                raise Wrong

            loop = asyncio.get_running_loop()
            with pytest.raises(Wrong):
                await asyncio.wait_for(agent.modify("n", function), PATIENCE / 10)
            backend.hold = ""
            backend.release()
            await asyncio.wrap_future(held[0])

    asyncio.run(main())
