"""The day's runs: seeds that nobody has chosen, over all backends.

They are recorded here, so a run of the tests never depends on chance, and a red one can be repeated. Whoever has time
moves `DAY` on and plays more of them (``python -m tests.simulation``), and mends what they find.
"""

import os
import time

import pytest

from tests.simulation.playing import BACKENDS, draw, play, shrunk

DAY = 2026_11_27
"""The first seed."""
PROCESSOR_SECONDS = 120
"""What all these runs together take, about. A number of runs is given for each backend, not a time: how fast a machine
is must not decide what is played."""
RUNS = {
    "token": 2_200,
    "memory": 2_200,
    "couchdb": 1_000,
    "sqlite": 800,
    "dynamodb": 600,
    "firestore": 900,
    "redis": 800,
    "served": 200,
    "awaited": 200,
}
"""In CI; elsewhere a tenth."""
MOST_SECONDS = 240.0
"""So long further runs of one backend begin, by the clock: three to ten times what they take, so that tests also end
where others keep the machine busy. Whatever is left out is told."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_is_well_in_the_runs_of_the_day(backend):
    runs = RUNS[backend] if os.environ.get("CI") else RUNS[backend] // 10
    database, until = BACKENDS[backend], time.monotonic() + MOST_SECONDS
    for seed in range(DAY, DAY + runs):
        again = f"python -m tests.simulation --backend {backend} --seed {seed}"
        if time.monotonic() > until:
            pytest.skip(f"{seed - DAY} of {runs} runs went well until the time was over. The rest: {again}")
        played = play(draw(str(seed), database), database)
        if played.wrong:
            pytest.fail(f"{shrunk(played, database).story()}\n\nAgain, and as a test: {again} --runs 1 --write-test")


def test_a_busy_machine_does_not_hold_up_the_tests(monkeypatch):
    monkeypatch.setitem(globals(), "MOST_SECONDS", -1.0)
    with pytest.raises(pytest.skip.Exception, match=r"^0 of .* --backend token --seed 20261127"):
        test_all_is_well_in_the_runs_of_the_day("token")
