"""A store serves one loop after another and several at once, outlives a fork, and ends what it began."""

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest

import datastore
from datastore import AsyncDataStore, ClosedError, ConfigurationError, DataStore, NotPicklableError, connect_async
from datastore.asynchronous import gathering
from datastore.asynchronous.gathering import Line
from datastore_memory import MemoryBackend
from tests.asynchronous.backends import Held, opened, turns
from tests.patience import PATIENCE


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "datastore-asynchronous"]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_one_loop_after_another():
    store = AsyncDataStore(datastore.connect("memory://"))
    agent = store.agent("u", "a")
    for number in range(3):
        assert asyncio.run(agent.increment("key")) == number + 1
        assert asyncio.run(agent.get("key")) == number + 1
    asyncio.run(store.aclose())


def test_several_loops_at_once_share_requests_and_each_gets_its_answers():
    store = AsyncDataStore(datastore.connect("memory://"))
    wrong = []

    async def work(name):
        agent = store.agent(name, "a")
        for number in range(50):
            await agent.set("key", [name, number])
            found = await asyncio.gather(*(agent.get("key") for _ in range(5)))
            if found != [[name, number]] * 5:
                wrong.append(found)

    threads = [threading.Thread(target=asyncio.run, args=(work(f"user{n}"),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    asyncio.run(store.aclose())


def test_a_loop_that_is_closed_with_calls_under_way_disturbs_no_other_one():
    backend = Held()
    store = opened(backend)
    agent = store.agent("u", "a")
    backend.hold = "read"
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(agent.get("key"))
        loop.run_until_complete(backend.until_entered())
        task.cancel()
        loop.run_until_complete(turns())
    finally:
        loop.close()
    backend.hold = ""
    backend.release()
    assert asyncio.run(agent.get("key", "none")) == "none"
    asyncio.run(store.aclose())


def test_a_loop_that_is_stopped_before_its_reads_leave_holds_up_no_other_one():
    store = AsyncDataStore(datastore.connect("memory://"))
    agent = store.agent("u", "a")
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(agent.get("key", "left behind"))
        loop.call_soon(loop.stop)
        loop.run_forever()  # one turn, so that the read was asked for and has not left
        assert asyncio.run(asyncio.wait_for(agent.get("key", "none"), PATIENCE)) == "none"
        assert loop.run_until_complete(asyncio.wait_for(task, PATIENCE)) == "left behind"
    finally:
        loop.close()
    asyncio.run(store.aclose())


def test_a_read_whose_turn_was_interrupted_leaves_with_the_next_one(monkeypatch):
    store = AsyncDataStore(datastore.connect("memory://"))
    agent = store.agent("u", "a")
    leave, interrupts = Line._leave, [KeyboardInterrupt]

    def interrupted(line):
        if interrupts:
            raise interrupts.pop()
        leave(line)

    monkeypatch.setattr(Line, "_leave", interrupted)
    loop = asyncio.new_event_loop()
    try:
        first = loop.create_task(agent.get("key", "first"))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(first)
        time.sleep(2 * gathering._TURN)
        assert loop.run_until_complete(asyncio.wait_for(agent.get("key", "second"), PATIENCE)) == "second"
        assert loop.run_until_complete(asyncio.wait_for(first, PATIENCE)) == "first"
    finally:
        loop.close()
    asyncio.run(store.aclose())


def test_a_run_that_is_interrupted_waits_for_its_writes():
    """`asyncio.run` cancels what is left when its main coroutine ends."""
    backend = Held()
    store = opened(backend)
    agent = store.agent("u", "a")

    async def main():
        backend.hold = "write"
        task = asyncio.ensure_future(agent.set("key", 1))
        await backend.until_entered()

        def release():
            while not task.cancelling():
                time.sleep(0.001)
            backend.release()

        threading.Thread(target=release, daemon=True).start()
        return task

    task = asyncio.run(main())
    assert task.cancelled()
    backend.hold = ""
    assert asyncio.run(agent.get("key")) == 1
    asyncio.run(store.aclose())


# ------------------------------------------------------------------------------------------------- opening and closing


def test_it_is_opened_by_awaiting_or_by_entering(tmp_path):
    async def main():
        url = f"sqlite:///{tmp_path}/store.db"
        async with connect_async(url) as store:
            await store.agent("u", "a").set("key", 1)
        store = await connect_async(url, tracking="off")
        assert await store.agent("u", "a").get("key") == 1
        await store.aclose()
        await store.aclose()
        assert repr(store) == "AsyncDataStore(backend='sqlite', closed)"

    asyncio.run(main())


def test_what_is_wrong_is_said_when_it_is_awaited():
    async def main():
        with pytest.raises(ConfigurationError, match="no backend serves"):
            await connect_async("nothing://")
        with pytest.raises(ConfigurationError, match="flush_interval"):
            await connect_async("memory://", flush_interval=-1)
        for number in (0, 1.5, True, "4", 10_000):
            with pytest.raises(ConfigurationError, match="workers is"):
                connect_async("memory://", workers=number)
        with pytest.raises(ConfigurationError, match="give a DataStore"):
            AsyncDataStore(MemoryBackend())

    asyncio.run(main())


def test_a_store_whose_opening_was_cancelled_is_closed():
    opening, go_on, closed = threading.Event(), threading.Event(), []

    class Slow(MemoryBackend):
        def close(self):
            closed.append(True)
            super().close()

    def connect():
        opening.set()
        assert go_on.wait(PATIENCE)
        return DataStore(Slow())

    async def main():
        from datastore.asynchronous.store import Opening

        task = asyncio.ensure_future(Opening(connect, None).__aenter__())
        while not opening.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await turns()
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed == [True]

    asyncio.run(main())


def test_no_thread_and_no_task_outlives_closing():
    async def main():
        async with connect_async("memory://") as store:
            agent = store.agent("u", "a")
            await asyncio.gather(*(agent.set(f"key{number}", 1) for number in range(50)))
            await asyncio.gather(*(agent.get(f"key{number}") for number in range(50)))
            assert 1 <= len(workers()) <= 4
        assert workers() == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert [thread for thread in threading.enumerate() if thread.name.startswith("datastore")] == []


def test_the_number_of_workers_is_an_option():
    async def main():
        for number in (1, 3):
            async with connect_async("memory://", workers=number) as store:
                agent = store.agent("u", "a")
                await asyncio.gather(*(agent.set(f"key{one}", 1) for one in range(50)))
                assert 1 <= len(workers()) <= number

    asyncio.run(main())


def test_a_closed_store_refuses_every_call_and_hangs_in_none():
    async def main():
        store = await connect_async("memory://")
        agent = store.agent("u", "a")
        await agent.set("key", 1)
        stream = agent.iter_records()
        assert (await anext(stream)).key == "key"
        await store.aclose()
        calls = [
            agent.get("key"),
            agent.get_many([]),
            agent.exists("key"),
            agent.set("key", 1),
            agent.modify("key", lambda value: value),
            agent.get_or_set("key", lambda: 1),
            store.flush(),
            anext(stream),
        ]
        for call in calls:
            with pytest.raises(ClosedError):
                await asyncio.wait_for(call, PATIENCE)
        assert (await agent.vault.health())["ok"] is False

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["read", "write"])
def test_closing_with_calls_under_way_and_calls_that_wait(kind):
    async def main():
        backend = Held()
        store = opened(backend, workers=2)
        agent = store.agent("u", "a")
        backend.hold = kind
        calls = [agent.get(f"key{number}") if kind == "read" else agent.set(f"key{number}", 1) for number in range(20)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await backend.until_entered()
        calls = [agent.get("late") if kind == "read" else agent.set("late", 1) for _ in range(20)]
        tasks += [asyncio.ensure_future(call) for call in calls]
        await turns()
        closing = asyncio.ensure_future(store.aclose())
        await turns()
        backend.hold = ""
        backend.release(20)
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        await closing
        assert {type(answer) for answer in answers} <= {str, type(None), ClosedError}
        assert ClosedError in {type(answer) for answer in answers}

    asyncio.run(main())


def test_closing_is_done_even_if_it_is_cancelled():
    async def main():
        store = await connect_async("memory://")
        await store.agent("u", "a").set("key", 1)
        task = asyncio.ensure_future(store.aclose())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ClosedError):
            await store.agent("u", "a").get("key")

    asyncio.run(main())
    for _ in range(1_000):
        if not workers():
            return
        threading.Event().wait(0.001)
    raise AssertionError("a thread is left")


def test_closing_either_twin_closes_both():
    async def main():
        store = AsyncDataStore(opened(Held()).sync)
        agent = store.agent("u", "a")
        await agent.set("key", 1)
        await asyncio.to_thread(store.sync.close)
        assert workers() == []
        with pytest.raises(ClosedError):
            await agent.get("key")

    asyncio.run(main())


def test_a_store_that_nobody_closes_ends_its_threads_when_it_is_collected():
    async def main():
        store = AsyncDataStore(DataStore(MemoryBackend(), flush_interval=3600))
        await store.agent("u", "a").set("key", 1)
        return weakref.ref(store.sync._core)

    core = asyncio.run(main())
    for _ in range(1_000):
        gc.collect()
        if core() is None and not workers():
            return
        threading.Event().wait(0.001)
    raise AssertionError("the store or a thread is left")


def test_a_store_that_is_collected_on_a_loop_is_closed_beside_it(monkeypatch):
    closed_on, done = [], threading.Event()

    def close(backend):
        closed_on.append(threading.current_thread())
        done.set()

    monkeypatch.setattr(MemoryBackend, "close", close)

    async def main():
        agent = DataStore(MemoryBackend(), flush_interval=3600).agent("u", "a")
        agent.set("key", 1)
        agent.get("key")
        del agent
        gc.collect()
        assert await asyncio.to_thread(done.wait, PATIENCE)

    asyncio.run(main())
    (thread,) = closed_on
    assert thread is not threading.current_thread()
    thread.join()


def test_it_cannot_be_sent_to_another_process():
    with datastore.connect("memory://") as store:
        twin = store.asynchronous
        agent = twin.agent("u", "a")
        for one in (twin, agent, agent.vault, agent.key_value):
            with pytest.raises(NotPicklableError):
                pickle.dumps(one)


# ----------------------------------------------------------------------------------------------------------- processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_both_processes_go_on(tmp_path):
    """Also if the loop has calls under way: the child has none of them, and begins with threads of its own."""
    found = run(
        """
        import asyncio, os, sys, datastore, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        store = datastore.AsyncDataStore(datastore.connect(sys.argv[1]))
        agent = store.agent("u", "a")

        async def before():
            await agent.set("key", 0)
            tasks = [asyncio.ensure_future(agent.get("key")) for _ in range(50)]
            await asyncio.sleep(0)
            child = os.fork()
            if child == 0:  # it must not go on with its parent's loop: the two would take each other's wake-ups
                assert asyncio.run(after()) == 1
                asyncio.run(store.aclose())
                os._exit(0)
            await asyncio.gather(*tasks)
            return child

        async def after():
            await asyncio.gather(*(agent.increment("key") for _ in range(10)))
            assert await agent.get("key") >= 10
            return sum([1 async for _ in agent.iter_records()])

        loop = asyncio.new_event_loop()
        child = loop.run_until_complete(before())
        assert loop.run_until_complete(after()) == 1
        assert os.waitpid(child, 0)[1] == 0
        assert loop.run_until_complete(agent.get("key")) == 20
        loop.run_until_complete(store.aclose())
        loop.close()
        print("done")
        """,
        f"sqlite:///{tmp_path}/store.db",
    )
    assert (found.stdout, found.returncode) == ("done\n", 0), found.stderr


def test_at_the_end_of_the_interpreter_a_write_under_way_is_finished(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    found = run(
        """
        import asyncio, sys, threading, time, datastore
        store = datastore.AsyncDataStore(datastore.connect(sys.argv[1]))
        agent = store.agent("u", "a")
        write = store.backend.write
        begun = threading.Event()

        def slow(writes):
            begun.set()
            time.sleep(0.5)
            return write(writes)

        store.backend.write = slow
        threading.Thread(target=lambda: asyncio.run(agent.set("key", 1)), daemon=True).start()
        begun.wait()
        """,
        url,
    )
    assert (found.stderr, found.returncode) == ("", 0)
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get("key") == 1


def test_a_program_that_closes_nothing_ends_without_a_word():
    found = run(
        """
        import asyncio
        from datastore import connect_async

        async def main():
            store = await connect_async("memory://")
            agent = store.agent("u", "a")
            await agent.set("key", 1)
            asyncio.ensure_future(agent.get("key"))
            async for record in agent.iter_records():
                break
            print(await agent.get("key"))

        asyncio.run(main())
        """
    )
    assert (found.stdout, found.stderr, found.returncode) == ("1\n", "", 0)


def test_importing_the_package_does_not_import_asyncio():
    found = run("import datastore, sys; assert not {'asyncio', 'datastore.asynchronous'} & set(sys.modules)")
    assert (found.stderr, found.returncode) == ("", 0)
