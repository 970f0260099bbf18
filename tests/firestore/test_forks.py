"""A fork goes on with a channel of its own."""

import os
import sys

import pytest

pytestmark = pytest.mark.server("firestore")


FORKED = """
import os, sys, datastore
store = datastore.connect(sys.argv[1])
agent = store.agent("u", "a")
agent.set("parent", 1)
child = os.fork()
if not child:
    agent.set("child", agent.get("parent") + 1)
    os._exit(0 if agent.get("child") == 2 else 1)
_, status = os.waitpid(child, 0)
agent.set("parent", agent.get("child"))
store.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_a_channel_of_its_own(url, agent):
    import subprocess

    run = subprocess.run([sys.executable, "-c", FORKED, url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert agent.get("parent") == 2
