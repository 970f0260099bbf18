"""Seed 120032583 on token: a write under a lease is three calls, and each had its own time."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "120032583",
        0.05,
        process(0, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(
            103,
            "lock",
            "list",
            ["ann eac97.3"],
            10.0,
            0.0,
            pause=0.023393827226564304,
            faults={1: "answer late", 2: "answer late"},
        ),
        call(
            104,
            "lock",
            "a",
            "ann eac97.4",
            2.0,
            0.5,
            pause=0.0002440638545369768,
            faults={1: "request lost", 2: "made anew", 3: "request lost"},
        ),
        thread(1, "ann"),
        call(101, "lock", "a", "ann 82383.2", 0.05, 0.5, pause=0.005934403094976109),
        process(1, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(
            102,
            "fenced_set",
            2.0,
            "list",
            ["ann 56f35.2"],
            pause=0.20402353220205238,
            faults={
                1: "answer late",
                2: "reset before",
                3: "restart",
                5: "request lost",
                7: "answer late",
                11: "error after",
                12: "request lost",
                13: "restart",
                17: "request lost",
                18: "error after",
                19: "answer late",
                20: "answer late",
            },
        ),
    )
