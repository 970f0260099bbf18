"""Seed 1010404 on firestore: count() of p1.t1 counted 1, which cannot be: 0 to 0."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "1010404",
        0.0,
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "set", "list", ["ann bc22f.1"], 1, pause=0.003776335134312632),
        thread(1, "ann"),
        call(1, "last", pause=0.004376369084052055, faults={1: "reset after", 2: "error before", 3: "request lost"}),
        call(2, "count", pause=2.0947631791628665e-05, faults={1: "reset after", 3: "error after", 5: "made anew"}),
    )
