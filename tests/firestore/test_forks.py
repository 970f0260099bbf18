"""A fork goes on with a channel of its own."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from tests.patience import PATIENCE

pytestmark = [
    pytest.mark.server("firestore"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
]

SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

ONE_AFTER_ANOTHER = """
import os, sys, datastore
store = datastore.connect(sys.argv[1])
agent = store.agent("u", "a")
for number in range(20):
    agent.set("parent", number)
    child = os.fork()
    if not child:
        agent.set("child", agent.get("parent") + 1)
        os._exit(0 if agent.get("child") == number + 1 else 1)
    _, status = os.waitpid(child, 0)
    assert not status, status
agent.set("parent", agent.get("child"))
store.close()
"""

UNDER_WAY = """
import os, sys, threading, datastore
store = datastore.connect(sys.argv[1])
agent = store.agent("u", "a")
done = threading.Event()

def count(key):
    while not done.is_set():
        agent.increment(key)

threads = [threading.Thread(target=count, args=(f"counter-{number}",)) for number in range(2)]
for thread in threads:
    thread.start()
child = os.fork()
if not child:
    agent.set("child", 1)
    grandchild = os.fork()
    if not grandchild:
        agent.set("grandchild", agent.get("child") + 1)
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
_, status = os.waitpid(child, 0)
done.set()
for thread in threads:
    thread.join()
store.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""

AFTER_CLOSING = """
import pathlib, sys, time, datastore
with datastore.connect(sys.argv[1]) as store:
    store.agent("u", "a").set("k", 1)
time.sleep(0.5)  # gRPC shuts down in the background
sys.exit(not any(task.read_text().startswith("grpc") for task in pathlib.Path("/proc/self/task").glob("*/comm")))
"""

WITHOUT_SUPPORT = """
import os, sys, datastore
store = datastore.connect(sys.argv[1])
agent = store.agent("u", "a")
agent.set("parent", 1)
child = os.fork()
if not child:
    for read in (agent.get, lambda key: datastore.connect(sys.argv[1]).agent("u", "a").get(key)):
        try:
            read("parent")
        except datastore.BackendUnusableError as error:
            print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
agent.set("parent", 2)
"""


def run(program, url, **environment):
    """Run a program and return what it prints; its children end with it, even if they hang."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, url],
        env={**{name: value for name, value in os.environ.items() if name != SUPPORT}, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = process.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == 0, errors
    return printed


def test_forked_children_have_channels_of_their_own(url, agent):
    run(ONE_AFTER_ANOTHER, url)
    assert agent.get("parent") == 20


def test_calls_under_way_do_not_matter(url, agent):
    run(UNDER_WAY, url)
    assert agent.get("grandchild") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names the threads of a process in files")
def test_grpc_runs_on_when_the_last_store_is_closed(url):
    """A fork while it shuts itself down leaves locks taken in the child, which then hangs."""
    run(AFTER_CLOSING, url)


def test_without_grpcs_support_for_forks_a_child_is_told_so(url, agent):
    said = run(WITHOUT_SUPPORT, url, **{SUPPORT: "0"}).splitlines()
    assert len(said) == 2
    assert all(SUPPORT in line for line in said)
    assert agent.get("parent") == 2
