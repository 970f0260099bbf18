"""The day's runs: seeds that nobody has chosen, over all backends.

They are recorded here, so a run of the tests never depends on chance, and a red one can be repeated. Whoever has time
moves `DAY` on, plays more of them (``python -m tests.simulation``), and mends what they find.
"""

import os

import pytest

from tests.simulation.playing import BACKENDS, draw, play, shrunk

DAY = 2026_11_26
"""The first seed."""
PROCESSOR_SECONDS = 60
"""What all these runs together take at most, about; the aim is 120. A number of runs is given for each backend, not a
time: how fast a machine is must not decide what is played."""
RUNS = {"token": 1_350, "memory": 1_200, "couchdb": 260, "sqlite": 540, "dynamodb": 150, "firestore": 430}
"""In CI; elsewhere a tenth."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_is_well_in_the_runs_of_the_day(backend):
    runs = RUNS[backend] if os.environ.get("CI") else RUNS[backend] // 10
    database = BACKENDS[backend]
    for seed in range(DAY, DAY + runs):
        played = play(draw(str(seed), database), database)
        if played.wrong:
            again = f"python -m tests.simulation --backend {backend} --runs 1 --seed {seed} --write-test"
            pytest.fail(f"{shrunk(played, database).story()}\n\nAgain, and as a test: {again}")
