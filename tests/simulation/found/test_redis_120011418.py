"""Seed 120011418 on redis: the child of a fork had a thread that its parent began while the fork waited."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120011418",
        0.2,
        process(0, skew=-4.049576478516954, tracking="off", flush_interval=0.1),
        thread(0, "ben"),
        call(
            101,
            "run",
            2.0,
            "leave",
            "ben d0ccd.3",
            pause=0.0015932171125835179,
            faults={3: "answer cut", 6: "partly done", 7: "request lost"},
        ),
        process(1, skew=-2.572619369224282, tracking="deferred", flush_interval=0.1),
        thread(0, "ben"),
        call(0, "list_keys", pause=0.001235080090426988, faults={1: "reset after"}),
        call(
            100,
            "run",
            2.0,
            "release",
            "ben 64fcb.1",
            "ben 64fcb.2",
            "ben 64fcb.3",
            pause=0.0006485725230754411,
            faults={1: "answer cut", 2: "answer lost", 3: "error after", 5: "reset after"},
        ),
        call(2, "fork", "child", pause=0.00020450657845700422),
        thread(1, "ann"),
        call(
            102,
            "run",
            0.05,
            "finish",
            "ann f8847.3",
            "ann f8847.4",
            "ann f8847.5",
            pause=0.02595275710081774,
            faults={1: "error after", 2: "answer lost", 4: "answer cut"},
        ),
    )
