"""A fork goes on with a client of its own, and with none of the parent's sockets and threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from datastore.adapters.counting import Account
from datastore.conformance.documents import at
from datastore.turns import Calls, Turns

pytestmark = pytest.mark.server("dynamodb")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on Windows")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_has_a_client_of_its_own(agent, store):
    backend = store.backend
    agent.set_many({f"k{i}": i for i in range(250)})  # starts the threads
    parent = backend._connection.client
    pid = os.fork()
    if pid == 0:
        try:
            fresh = backend._connection._client is None
            found = len(agent.get_many([f"k{i}" for i in range(250)])) == 250
            own = backend._connection.client is not parent
            agent.set("child", 1)
        except BaseException:  # noqa: BLE001  # a forked child must not go on with the tests
            os._exit(1)
        os._exit(0 if fresh and found and own else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert agent.get("child") == 1
    assert backend._connection.client is parent


def locks(thing, path="backend", seen=None):
    """What threads wait for, anywhere in the adapter, by where it is."""
    seen = set() if seen is None else seen
    if isinstance(thing, Turns | Calls | ThreadPoolExecutor | type(threading.Lock()) | type(threading.RLock())):
        return {path: thing}
    found = {}
    if type(thing).__module__.startswith(("datastore_dynamodb", "datastore.adapters")) and id(thing) not in seen:
        seen.add(id(thing))
        for name, one in getattr(thing, "__dict__", {}).items():
            found |= locks(one, f"{path}.{name}", seen)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on Windows")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_has_every_lock_anew_and_nothing_of_the_parents_to_count(agent, store):
    """A thread of the parent may have held one."""
    backend = store.backend
    agent.set_many({f"k{i}": i for i in range(250)})  # starts the threads
    backend._counter.accounts["u:n:k"] = Account(at(0), sent=1, mark="01234567")
    before = locks(backend)
    assert {type(lock) for lock in before.values()} == {Turns, Calls, ThreadPoolExecutor}
    pid = os.fork()
    if pid == 0:
        after = locks(backend)
        kept = [path for path, lock in before.items() if after.get(path) is lock]
        os._exit(len(kept) + len(backend._counter.accounts))
    del backend._counter.accounts["u:n:k"]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
