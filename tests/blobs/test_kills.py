"""A process is killed in the middle of a `put`: the old blob is whole, and nothing stays behind for good."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import datastore
from datastore.agent import AgentDataStore
from datastore.blobs.heads import PART, TOGETHER
from datastore.blobs.uploads import UPLOAD
from datastore.scope import scope_of

OLD = random.Random(1).randbytes(PART + 17)
NEW = random.Random(2).randbytes(2 * TOGETHER * PART + 5)
WRITES = 7
"""The reminder, the mark, twice 8 parts, the last part with the mark of the old blob, the head, and the removal of the
mark."""
HEAD = 5

PUT = """
import random, sys, time
import datastore
from datastore.blobs.heads import PART, TOGETHER

url, at, where, ago = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
store = datastore.connect(url, clock=lambda: time.time() - ago)
write, left = store.backend.write, at

def counted(writes):
    global left
    if left == 0 and where == "before":
        print("now", flush=True)
        sys.stdin.read()
    outcomes = write(writes)
    if left == 0:
        print("now", flush=True)
        sys.stdin.read()
    left -= 1
    return outcomes

store.backend.write = counted
store.agent("ann", "writer").blobs.put("blob", random.Random(2).randbytes(2 * TOGETHER * PART + 5))
print("done", flush=True)
sys.stdin.read()
"""
"""Puts a blob, and stops before or after one of its writes, to be killed there."""


def killed_at(url, at, where, ago=0.0):
    """Put the new blob in another process whose clock is behind, and kill it at one of its writes.

    Returns what it has said.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PUT, url, str(at), where, str(ago)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return said


def is_same(found, expected):
    """Return whether two contents are the same. Where millions of bytes differ takes `pytest -v` an hour to say."""
    return found == expected


def check(url, clock, *, new):
    """Check that one blob is there, whole, and that a purge a day later leaves nothing else."""
    with datastore.connect(url, clock=lambda: clock[0]) as store:
        agent = store.agent("ann", "reader")
        expected = NEW if new else OLD
        assert is_same(agent.blobs.get("blob"), expected)
        with agent.blobs.open("blob") as file:
            file.seek(PART)
            assert is_same(file.read(), expected[PART:])
        clock[0] += UPLOAD
        try:
            agent.purge_expired()
        except datastore.UnsupportedError:
            pytest.fail("the user has blobs")
        assert is_same(agent.blobs.get("blob"), expected)
        kept = AgentDataStore(scope_of(agent.blobs)).list_keys()
        assert len([key for key in kept if key.startswith("data/")]) == -(-len(expected) // PART)
        assert [key for key in kept if key.startswith("mark/")] == []


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("at", range(WRITES))
def test_killed_at_each_write(tmp_path: Path, at: int, where: str) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with datastore.connect(url) as store:
        store.agent("ann", "writer").blobs.put("blob", OLD)
    assert killed_at(url, at, where) == b"now\n"
    check(url, [time.time()], new=at > HEAD or (at == HEAD and where == "after"))


def test_there_are_no_more_writes_than_are_tried(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with datastore.connect(url) as store:
        store.agent("ann", "writer").blobs.put("blob", OLD)
    assert killed_at(url, WRITES, "before") == b"done\n"
    check(url, [time.time()], new=True)
