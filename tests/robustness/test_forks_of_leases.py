"""A process that forks while it holds leases and runs, through synchronous calls and through awaited ones."""

import asyncio
import contextlib
import gc
import os
import signal
import threading

import pytest

import datastore
from datastore import LeaseHeldError, LeaseLostError, ReentrantCallError, forks
from tests.patience import PATIENCE
from tests.sqlite.processes import in_a_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # Python 3.12 warns of what is tested here
]

FORKS = 10


@contextlib.contextmanager
def renewing(agents):
    """Renew leases without a pause, in a thread of each agent."""
    over = threading.Event()

    def run(agent):
        with agent.lease(f"other-{id(agent)}") as lease:
            while not over.is_set():
                lease.renew()

    threads = [threading.Thread(target=run, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("renew", [True, False])
def test_a_child_has_none_of_its_parents_leases_and_takes_its_own(tmp_path, renew):
    """Also where a thread is just renewing them at each fork; the parent's go on."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        lease = agent.lease("work", renew=renew)

        def child():
            assert not lease.is_held
            with pytest.raises(LeaseLostError, match="the process that this one was forked from"):
                lease.data_store.set("key", "child")
            assert not lease.release()
            with pytest.raises(LeaseHeldError):
                agent.lease("work")
            with agent.lease(f"own-{os.getpid()}", renew=renew) as own:
                own.renew()
                own.data_store.set("own", 1)
            store.close()

        with renewing([store.agent("u", "b"), store.agent("u", "c")]):
            for _ in range(FORKS):
                in_a_child(child)
        lease.renew()
        lease.data_store.set("key", "parent")
        assert lease.release()


def test_a_child_has_none_of_its_parents_runs_and_goes_on_with_its_own(tmp_path):
    """Also if the fork is in the middle of a step, whose run is busy for ever in the child."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        runs = store.agent("u", "a").runs
        run = runs.start("run")

        def child():
            for call in (lambda: run.step("child", int), lambda: run.wait_for("answer"), run.finish):
                with pytest.raises(LeaseLostError, match="the process that this one was forked from"):
                    call()
            run.release()
            with pytest.raises(LeaseHeldError):
                runs.resume("run")
            with runs.start(f"own-{os.getpid()}") as own:
                assert own.step("one", int) == 0
            store.close()

        in_a_child(child)
        run.step("forks", in_a_child, child)
        run.finish("parent")
        assert runs.result("run") == "parent"


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/a.db"])
def test_the_awaited_ones_stay_with_the_parent_too(tmp_path, url):
    """A child goes on with a loop of its own."""
    store = datastore.AsyncDataStore(datastore.connect(url.format(tmp_path)))
    agent = store.agent("u", "a")

    async def before():
        lease = await agent.lease("work")
        run = await agent.runs.start("run")
        await asyncio.gather(*(agent.get(f"k{number}") for number in range(20)))
        return lease, run

    async def inside(lease, run):
        assert not lease.is_held
        with pytest.raises(LeaseLostError):
            await run.step("child", int)
        with pytest.raises(LeaseHeldError):
            await agent.lease("work")
        async with agent.lock(f"own-{os.getpid()}") as own:
            await own.renew()
            await own.data_store.set("own", 1)
        await store.aclose()

    async def after(lease, run):
        assert lease.is_held
        assert await run.step("parent", int) == 0
        await run.finish()
        assert await lease.release()

    loop = asyncio.new_event_loop()
    lease, run = loop.run_until_complete(before())
    for _ in range(3):
        in_a_child(lambda: asyncio.run(inside(lease, run)))
    loop.run_until_complete(after(lease, run))
    loop.run_until_complete(store.aclose())
    loop.close()


# ----------------------------------------------------------------------------- what runs on the thread that forks


class Calls:
    """A participant that calls a store whenever a fork tells it something, as a finalizer may in such a moment."""

    module, inside, waiting = "none", (), ()

    def __init__(self, agent):
        self.agent = agent
        self.refused = []

    def _call(self, clean=True):
        try:
            self.agent.get("key")
        except ReentrantCallError:
            self.refused.append(os.getpid())

    hold = before_fork = resume = after_fork = _call


@pytest.mark.parametrize("first", [True, False])
def test_a_call_of_the_thread_that_forks_is_refused_and_does_not_wait_for_itself(tmp_path, monkeypatch, first):
    """Until every store goes on, in the parent and in the child."""
    signal.alarm(int(PATIENCE))
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store, datastore.connect("memory://") as other:
        monkeypatch.setattr(forks, "_participants", {})
        one, two = Calls(store.agent("u", "a")), Calls(other.agent("u", "a"))
        for participant in (one, store._core, other._core, two) if first else (store._core, two, one, other._core):
            forks.take_part(participant)

        def child():
            assert os.getpid() in {*one.refused, *two.refused}
            assert store.agent("u", "a").get("key") is None

        in_a_child(child)
        assert os.getpid() in {*one.refused, *two.refused}
        assert store.agent("u", "a").get("key") is None
    signal.alarm(0)


def test_the_garbage_collector_runs_no_finalizer_on_the_thread_that_forks(tmp_path, monkeypatch):
    """One that waits for another thread, which waits for the end of the fork, would wait for ever."""
    found = []

    class Looks(Calls):
        def _call(self, clean=True):
            found.append(gc.isenabled())

        hold = before_fork = resume = after_fork = _call

    monkeypatch.setattr(forks, "_participants", {})
    looks = Looks(None)
    forks.take_part(looks)

    def child():
        assert gc.isenabled()
        assert not any(found)

    in_a_child(child)
    assert len(found) == 3
    assert not any(found)
    assert gc.isenabled()


def test_a_fork_waits_for_no_store_that_is_being_closed(tmp_path, monkeypatch):
    """Who closes it waits for the thread that renews its leases, and that one waits for no fork."""
    monkeypatch.setattr(forks, "_participants", {})
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        core = store._core
        forks.take_part(core)
        closing, held = threading.Event(), threading.Event()

        class Late:
            """Renews in the moment in which the fork has begun already."""

            def close(self, backend):
                closing.set()
                assert held.wait(PATIENCE)
                renewal = threading.Thread(target=renew)
                renewal.start()
                renewal.join(PATIENCE)
                assert not renewal.is_alive()

            def after_fork(self):
                """Do nothing."""

        def renew():
            with contextlib.suppress(datastore.ClosedError):
                core.write([])

        core.keep_with(Late())
        closer = threading.Thread(target=store.close)
        closer.start()
        assert closing.wait(PATIENCE)
        core.hold()
        held.set()
        closer.join(PATIENCE)
        assert not closer.is_alive()
        core.resume()
