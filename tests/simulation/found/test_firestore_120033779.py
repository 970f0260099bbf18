"""Seed 120033779 on firestore: the child of a fork had a thread that its parent began while the fork waited."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "120033779",
        0.2,
        process(0, skew=-2.2541952246409314, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(101, "lock", "a", "ann 5e9de.2", 0.05, 0.5, pause=0.007940536977490763),
        thread(1, "ann"),
        call(1, "claim", 0.01, pause=0.00222559541370877),
        call(3, "fork", "child", pause=0.0007075501759782406),
    )
