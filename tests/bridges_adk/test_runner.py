"""A `Runner` of Google's ADK whose sessions are in an agent's store, from one process to the next."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bridges.places import ON_SERVERS
from tests.bridges_adk.clerk import ask
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]


def test_a_conversation_goes_on_in_another_process(tmp_path):
    def run(text):
        command = [sys.executable, "-m", "tests.bridges_adk.clerk", f"sqlite:///{tmp_path}/agents.db", text]
        path = os.pathsep.join([str(ROOT), *sys.path])
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=True, timeout=PATIENCE
        )
        return json.loads(done.stdout)

    first, second = run("I want tea"), run("More tea")
    assert first == {
        "said": ["['tea'], 3 contents"],
        "state": {"ordered": ["tea"], "known": 0, "user:favourite": "tea", "app:sold": 1},
        "events": 4,
        "versions": [0],
    }
    assert second == {
        "said": ["['tea', 'tea'], 7 contents"],
        "state": {"ordered": ["tea", "tea"], "known": 2, "user:favourite": "tea", "app:sold": 2},
        "events": 8,
        "versions": [0, 1],
    }


@ON_SERVERS
def test_a_conversation_goes_on_on_every_database(store, data_store):
    asyncio.run(ask(data_store, "I want tea"))
    asyncio.run(ask(data_store, "I want milk", "another"))
    last = json.loads(asyncio.run(ask(store.agent("ann", "other"), "I want cake")))
    assert last["said"] == ["['tea', 'cake'], 7 contents"]
    assert last["state"] == {"ordered": ["tea", "cake"], "known": 0, "user:favourite": "cake", "app:sold": 3}
    entry = data_store.log("adk/shop/ann/counter").last()[0]
    assert entry.agent == "other"
    assert entry.value["event"]["content"]["parts"] == [{"text": "['tea', 'cake'], 7 contents"}]
