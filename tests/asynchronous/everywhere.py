"""What the awaited twin must do on every database: gather, be cancelled anywhere, serve any loop, and end."""

import asyncio
import contextlib
import random
import threading

import pytest

from datastore import ClosedError, UnsupportedError
from datastore.conformance.calls import CALLS
from datastore.conformance.topic import Topic
from tests.patience import PATIENCE


async def begun(call, agent):
    """Make a call of the kit's list through the twin; what is a stream is read to its end."""
    result = call(agent)
    if hasattr(result, "__anext__"):
        return [item async for item in result]
    return await result


class Steps:
    """Cancels a task after its n-th step: each time it waits and is woken is one."""

    def __init__(self, coroutine, number: int) -> None:
        self._coroutine, self._number = coroutine, number
        self.task: asyncio.Task | None = None
        self.reached = False

    def __await__(self):
        waiting = self._coroutine.__await__()
        step = 0
        value = None
        while True:
            try:
                value = waiting.send(None)
            except StopIteration as end:
                return end.value
            step += 1
            if step == self._number:
                self.reached = True
                assert self.task is not None
                asyncio.get_running_loop().call_soon(self.task.cancel)
            try:
                yield value
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is thrown into the call
                try:
                    value = waiting.throw(error)
                except StopIteration as end:
                    return end.value
                yield value


async def waves(agents, *, number: int, size: int, cancelled: int, keys: int) -> int:
    """Read in waves, cancel some of each, and check the answers of the others. Return how many had no answer."""
    chance, unanswered = random.Random(17), 0
    for agent in agents:
        await agent.set_many({f"key{one}": [agent.user_id, one] for one in range(keys)})
    for _ in range(number):
        asked = []
        for _ in range(size):
            agent, one = chance.choice(agents), chance.randrange(keys + keys // 6)
            asked.append((agent, one, asyncio.ensure_future(agent.get(f"key{one}"))))
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        for _, _, task in chance.sample(asked, cancelled):
            task.cancel()
        answers = await asyncio.gather(*(task for _, _, task in asked), return_exceptions=True)
        for (agent, one, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, asyncio.CancelledError):
                unanswered += 1
            else:
                assert answer == ([agent.user_id, one] if one < keys else None)
    return unanswered


def _ended(awaitable, seconds: float = 120):
    """Run something in a loop of its own; if it hangs, the test fails."""

    async def main():
        async with asyncio.timeout(seconds):
            return await awaitable

    return asyncio.run(main())


class Awaited(Topic):
    """Awaited calls, on the event loops of the tests themselves.

    The harness's stores make each call through the twin, on one loop in another thread. Here are the twins themselves.
    """

    def test_reads_of_one_turn_are_one_request(self, store):
        asked = []
        read = store.backend.read

        async def main():
            agent = store.agent("u", "a").asynchronous
            await agent.set_many({f"key{number}": number for number in range(100)})
            store.backend.read = lambda ids, fields: (asked.append(len(ids)), read(ids, fields))[1]
            try:
                return await asyncio.gather(*(agent.get(f"key{number}") for number in range(100)))
            finally:
                del store.backend.read

        assert _ended(main()) == list(range(100))
        assert asked == [100]

    @pytest.mark.parametrize("name", [name for name in CALLS if name != "in"])
    def test_a_call_can_be_cancelled_at_each_of_its_steps(self, store, name):
        """Afterwards the store works, and nothing of the call is left under way."""

        async def main():
            number, reached = 1, True
            while reached:
                agent = store.agent(f"user{number}", "a").asynchronous
                await agent.set_many({"key": 1, "other": 2, "list": [], "object": {"a": 1}})
                steps = Steps(begun(CALLS[name], agent), number)

                async def run(steps=steps):
                    return await steps

                steps.task = asyncio.ensure_future(run())
                with contextlib.suppress(asyncio.CancelledError, UnsupportedError):
                    await asyncio.wait_for(asyncio.shield(steps.task), PATIENCE)
                assert steps.task.done()
                reached = steps.reached
                number += 1
                assert await agent.count() >= 0
                if name == "get_or_set":
                    assert await asyncio.wait_for(agent.get_or_set("new", lambda: 1), 5) == 1
            assert number > 2, "the call has no step at which it waits"
            assert asyncio.all_tasks() == {asyncio.current_task()}

        _ended(main())

    def test_reads_in_waves_with_cancellations_are_all_right(self, store):
        agents = [store.agent(f"user{number}", "a").asynchronous for number in range(3)]
        assert 0 < _ended(waves(agents, number=10, size=100, cancelled=20, keys=30)) <= 200

    def test_loops_one_after_another_and_several_at_once(self, store):
        agent = store.agent("u", "a").asynchronous
        for number in range(2):
            assert _ended(agent.increment("key")) == number + 1
        wrong = []

        async def work(name):
            mine = store.agent(name, "a").asynchronous
            for number in range(5):
                await mine.set("key", [name, number])
                if await asyncio.gather(*(mine.get("key") for _ in range(5))) != [[name, number]] * 5:
                    wrong.append(number)

        threads = [threading.Thread(target=_ended, args=(work(f"user{number}"),)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        assert wrong == []

    def test_closing_ends_every_call_and_a_write_that_was_made_is_there(self, open_store):
        store = open_store()

        async def main():
            agent = store.agent("u", "a").asynchronous
            writes = [asyncio.ensure_future(agent.set(f"key{number}", number)) for number in range(40)]
            await asyncio.sleep(0)
            await store.asynchronous.aclose()
            return await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), PATIENCE)

        outcomes = _ended(main())
        assert {type(outcome) for outcome in outcomes} <= {str, ClosedError}
        if store.backend.capabilities.supports("persistent"):
            made = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)]
            assert sorted(open_store().agent("u", "a").get_all().values()) == made
