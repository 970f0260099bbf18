"""Seed 120053242 on dynamodb: an import wrote over what a slow call had written, by the times of their beginnings."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "120053242",
        0.2,
        process(0, tracking="off", flush_interval=0.1),
        thread(1, "ann"),
        call(0, "increment", "n", 2, pause=0.014295241728365691),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "set", "n", 7001, None, pause=0.0017007634243842184),
        thread(1, "ann"),
        call(2, "import", pause=0.0037913355062621284),
    )
