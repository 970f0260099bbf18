"""A read that is cancelled is forgotten; a write that has begun is waited for. Nothing hangs, and nothing is left."""

import asyncio
import contextlib
import threading

import pytest

from datastore import ConflictError, InvalidValueError, connect_async
from datastore.scope import scope_of
from tests.asynchronous.backends import Held, opened, turns
from tests.patience import PATIENCE


class Wrong(Exception):  # noqa: N818 - it stands for whatever a caller's function raises
    pass


async def cancelled(task: asyncio.Task) -> BaseException:
    """Wait for a task that was cancelled, and return the error that it ends with."""
    with contextlib.suppress(BaseException):
        await task
    assert task.cancelled()
    try:
        return task.exception()
    except asyncio.CancelledError as error:
        return error


def test_a_read_that_is_cancelled_ends_at_once_and_the_others_of_its_batch_get_their_answers():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set_many({"a": 1, "b": 2})
            backend.hold = "read"
            first = asyncio.ensure_future(agent.get("a"))
            await backend.until_entered()
            others = [asyncio.ensure_future(agent.get(key)) for key in ("a", "b", "a")]
            await turns()
            first.cancel()
            others[0].cancel()
            await cancelled(first)
            await cancelled(others[0])
            assert backend.reads[-1] == backend.reads[0], "they ended while the database was still reading"
            backend.hold = ""
            backend.release()
            assert await others[1] == 2
            assert await others[2] == 1
            assert (await agent.get_record("a")).access_count <= 2

    asyncio.run(main())


def test_a_read_that_is_cancelled_before_it_leaves_is_not_made():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            backend.hold = "read"
            first = asyncio.ensure_future(agent.get("a"))
            await backend.until_entered()
            second = asyncio.ensure_future(agent.get("b"))
            await turns()
            second.cancel()
            await cancelled(second)
            backend.hold = ""
            backend.release()
            await first
            assert await agent.get("c") is None
            assert [len(ids) for ids in backend.reads] == [1, 1]

    asyncio.run(main())


def test_a_write_that_has_begun_is_waited_for_however_often_it_is_cancelled():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            backend.hold = "write"
            task = asyncio.ensure_future(agent.set("key", 1))
            await backend.until_entered()
            for _ in range(5):
                task.cancel()
                await turns()
                assert not task.done()
            backend.hold = ""
            backend.release()
            await cancelled(task)
            assert await agent.get("key") == 1

    asyncio.run(main())


def test_a_write_that_no_worker_has_begun_is_taken_back():
    async def main():
        backend = Held()
        async with opened(backend, workers=1) as store:
            agent = store.agent("u", "a")
            backend.hold = "write"
            first = asyncio.ensure_future(agent.set("first", 1))
            await backend.until_entered()
            second = asyncio.ensure_future(agent.set("second", 2))
            await turns()
            second.cancel()
            await turns()
            assert second.cancelled()
            backend.hold = ""
            backend.release()
            await first
            assert await agent.list_keys() == ["first"]
            assert len(backend.writes) == 1

    asyncio.run(main())


def test_the_error_of_a_write_is_the_cause_of_the_cancellation():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set("key", 1)
            backend.hold = "write"
            task = asyncio.ensure_future(agent.set("key", 2, if_revision="another"))
            await backend.until_entered()
            task.cancel("for a reason")
            backend.hold = ""
            backend.release()
            with pytest.raises(asyncio.CancelledError, match="for a reason") as raised:
                await task
            assert isinstance(raised.value.__cause__, ConflictError)
            assert await agent.get("key") == 1

    asyncio.run(main())


TAKING = {
    "lease": lambda agent: agent.lease("name", ttl=3_600),
    "lock": lambda agent: agent.lock("name", ttl=3_600).__aenter__(),
    "start": lambda agent: agent.runs.start("run", lease=3_600),
    "resume": lambda agent: agent.runs.resume("begun", lease=3_600),
}


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING.keys())
def test_what_is_taken_for_a_caller_who_is_gone_is_released(take):
    """Nobody would ever release it, and all others would wait for its ttl."""

    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await (await agent.runs.start("begun")).release()
            backend.hold = "write"
            task = asyncio.ensure_future(take(agent))
            await backend.until_entered()
            task.cancel()
            backend.hold = ""
            backend.release()
            await cancelled(task)
            async with agent.lock("name", timeout=0):
                pass
            for info in await agent.runs.list():
                await (await store.agent("u", "other").runs.resume(info.id)).release()

    asyncio.run(main())


async def entered(lock):
    await lock.__aenter__()
    return lock


ENTERED = {
    "lease": lambda agent: agent.lease("name", ttl=3_600),
    "lock": lambda agent: entered(agent.lock("name", ttl=3_600)),
    "run": lambda agent: agent.runs.start("run", lease=3_600),
}


@pytest.mark.parametrize("enter", ENTERED.values(), ids=ENTERED.keys())
def test_the_end_of_a_block_releases_what_it_held_though_no_worker_has_begun_it(enter):
    """A block is left once only: what is not released then is never released."""

    async def main():
        backend = Held()
        async with opened(backend, workers=1) as store:
            agent = store.agent("u", "a")
            held = await enter(agent)
            backend.hold = "write"
            first = asyncio.ensure_future(agent.set("first", 1))
            await backend.until_entered()
            leaving = asyncio.ensure_future(held.__aexit__(None, None, None))
            await turns()
            leaving.cancel()
            await turns()
            backend.hold = ""
            backend.release()
            await first
            await cancelled(leaving)
            async with agent.lock("name", timeout=0):
                pass
            assert [one.status for one in await agent.runs.list()] in ([], ["done"])

    asyncio.run(main())


def test_a_timeout_waits_for_the_write_and_is_a_timeout():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")

            async def end(timeout):
                await backend.until_entered()
                timeout.reschedule(0)
                await turns()
                assert timeout.expired()
                backend.hold = ""
                backend.release()

            async def ends_while_it_is_held(call):
                try:
                    async with asyncio.timeout(None) as timeout:
                        ending = asyncio.ensure_future(end(timeout))
                        await call
                finally:
                    await ending

            backend.hold = "write"
            with pytest.raises(TimeoutError):
                await ends_while_it_is_held(agent.set("key", 1))
            assert await agent.get("key") == 1
            backend.hold = "read"
            with pytest.raises(TimeoutError):
                await ends_while_it_is_held(agent.get("key"))
            assert asyncio.current_task().cancelling() == 0

    asyncio.run(main())


def test_a_group_whose_task_fails_ends_when_the_writes_of_the_others_are_done():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            backend.hold = "write"

            async def fails():
                await backend.until_entered()
                threading.Timer(0.05, backend.release).start()
                raise Wrong

            async def both():
                async with asyncio.TaskGroup() as group:
                    group.create_task(agent.set("key", 1))
                    group.create_task(fails())

            with pytest.raises(ExceptionGroup):
                await both()
            backend.hold = ""
            assert await agent.get("key") == 1

    asyncio.run(main())


# ---------------------------------------------------------------------------- modify and get_or_set with coroutines


def test_modify_takes_plain_functions_and_whatever_returns_an_awaitable():
    async def main():
        async with connect_async("memory://") as store:
            agent = store.agent("u", "a")

            async def added(value):
                await asyncio.sleep(0)
                return [*value, await agent.get("other", "none")]

            assert await agent.modify("key", lambda value: [*value, 1], []) == [1]
            assert await agent.modify("key", added) == [1, "none"]
            assert await agent.modify("key", lambda value: added(value)) == [1, "none", "none"]
            with pytest.raises(InvalidValueError, match="the function's result is None"):
                await agent.modify("key", lambda value: None)
            with pytest.raises(InvalidValueError, match="function is an int"):
                await agent.modify("key", 7)

    asyncio.run(main())


def test_no_change_of_many_coroutines_is_lost_and_none_waits_for_a_worker_that_it_holds():
    async def main():
        async with connect_async("memory://", workers=2) as store:
            agent = store.agent("u", "a")

            async def one_more(value):
                await agent.get("other")
                return value + 1

            await asyncio.gather(*(agent.modify("key", one_more, 0) for _ in range(20)))
            assert await agent.get("key") == 20

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_what_the_coroutine_raises_is_raised_and_nothing_is_stored():
    async def main():
        async with connect_async("memory://") as store:
            agent = store.agent("u", "a")

            async def wrong(*_):
                raise Wrong

            def wrong_at_once(*_):
                raise Wrong

            for function in (wrong, wrong_at_once):
                with pytest.raises(Wrong):
                    await agent.modify("key", function)
                with pytest.raises(Wrong):
                    await agent.get_or_set("key", function)
            assert await agent.list_keys() == []
            assert await asyncio.wait_for(agent.get_or_set("key", lambda: 1), 5) == 1, "the lease had ended"

    asyncio.run(main())


def test_of_many_that_compute_one_does_and_the_waiting_ones_hold_no_worker():
    async def main():
        async with connect_async("memory://", workers=2) as store:
            agent = store.agent("u", "a")
            calls = []

            async def compute():
                calls.append(1)
                for _ in range(5):
                    await agent.set("progress", len(calls))
                    await asyncio.sleep(0.01)
                return "value"

            found = await asyncio.gather(*(agent.get_or_set("key", compute) for _ in range(30)))
            assert found == ["value"] * 30
            assert calls == [1]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_whoever_is_cancelled_while_computing_gives_up_the_lease():
    async def main():
        async with connect_async("memory://") as store:
            agent = store.agent("u", "a")
            begun = asyncio.Event()

            async def compute():
                begun.set()
                await asyncio.sleep(60)

            task = asyncio.ensure_future(agent.get_or_set("key", compute))
            await begun.wait()
            task.cancel()
            task.cancel()
            await cancelled(task)
            assert await asyncio.wait_for(agent.get_or_set("key", lambda: 1), 5) == 1

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------- the sandbox


def test_the_sandbox_holds_in_the_frames_of_a_call():
    """What a suspended coroutine has in its frames leads no further than the agent's own object."""

    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            core = scope_of(agent.sync).core
            forbidden = {id(core), id(backend), id(scope_of(agent.sync)), id(store), id(store.sync), id(core.twin)}

            async def function(value):
                return value

            for coroutine in (agent.set("key", 1), agent.get("key"), agent.modify("key", function, 1)):
                coroutine.send(None)
                frames, seen = [coroutine], set()
                while frames:
                    thing = frames.pop()
                    if id(thing) in seen:
                        continue
                    seen.add(id(thing))
                    assert id(thing) not in forbidden, thing
                    frames += [found for found in (getattr(thing, "cr_await", None),) if found is not None]
                    if (frame := getattr(thing, "cr_frame", None)) is not None:
                        for value in frame.f_locals.values():
                            frames.append(value)
                    if type(thing).__module__.startswith("datastore.asynchronous"):
                        for name in dir(thing):
                            if not name.startswith("__"):
                                with contextlib.suppress(AttributeError):
                                    frames.append(getattr(thing, name))
                while True:
                    try:
                        await asyncio.sleep(0.001)
                        coroutine.throw(asyncio.CancelledError)
                    except (asyncio.CancelledError, StopIteration):
                        break

    asyncio.run(main())
