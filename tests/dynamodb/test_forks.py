"""A fork goes on with a client of its own, and with none of the parent's sockets and threads."""

import os

import pytest

pytestmark = pytest.mark.server("dynamodb")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on Windows")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_has_a_client_of_its_own(agent, store):
    backend = store._core.backend
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
