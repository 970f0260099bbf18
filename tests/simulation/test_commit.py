"""Runs that each commit has for itself: its hash says which seeds are played. So CI plays other runs for every change,
and the same runs whenever it is repeated for the same commit: neither a clock nor chance decides what it plays."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.simulation.playing import BACKENDS, draw, play, shrunk

ROOT = Path(__file__).parents[2]
PROCESSOR_SECONDS = 60
"""What all these runs together take at most, about; the aim is 120. A number of runs is given for each backend, not a
time: how fast a machine is must not decide what is played."""
RUNS = {"token": 1_500, "memory": 1_000, "couchdb": 1_000}
"""In CI; elsewhere a tenth."""
OTHERS = 300
"""Runs of a backend that is not named there."""


def first_seed():
    """Return the commit as a number; 0 outside a repository, as in an unpacked release."""
    told = os.environ.get("AGENT_DATASTORE_TEST_SEED")
    if told is not None:
        return int(told)
    ran = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(ran.stdout[:8], 16) if ran.returncode == 0 else 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_is_well_in_the_runs_of_this_commit(backend):
    first, runs = first_seed(), RUNS.get(backend, OTHERS)
    if not os.environ.get("CI"):
        runs //= 10
    database = BACKENDS[backend]
    for seed in range(first, first + runs):
        played = play(draw(str(seed), database), database)
        if played.wrong:
            again = f"python -m tests.simulation --backend {backend} --runs 1 --seed {seed} --write-test"
            pytest.fail(f"{shrunk(played, database).story()}\n\nAgain, and as a test: {again}")
    print(f"{runs} runs on {backend} from seed {first}")
