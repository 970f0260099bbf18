"""Seed 120013644 on token: the child of a fork had a thread that its parent began while the fork waited."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "120013644",
        0.05,
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(
            102,
            "lock",
            "job1",
            {"kind": "job", "name": "ann 090b0.1", "n": 0},
            0.05,
            3.0,
            pause=0.0003505700491153503,
            faults={1: "answer lost"},
        ),
        call(
            1,
            "increment",
            "n",
            2,
            pause=0.0035690245714570606,
            faults={1: "request late", 3: "throttled", 4: "request late", 6: "answer lost", 7: "made anew"},
        ),
        process(2, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(101, "fenced_set", 2.0, "list", ["ann 00354.2"], pause=1.8472034587859731, faults={4: "request lost"}),
        call(1, "modify", "a", "ann 5960c.1", pause=0.35649868631715287, faults={1: "request lost", 2: "request late"}),
        call(3, "fork", "child", pause=0.03698693345934222),
        thread(1, "ann"),
        call(
            0,
            "append",
            "list",
            "ann c5ca5.1",
            pause=0.0033091612574288535,
            faults={1: "reset after", 2: "request lost"},
        ),
        call(1, "modify", "a", "ann c5ca5.2", pause=6.870409323995871e-05, faults={1: "request lost"}),
        call(
            100,
            "lock",
            "list",
            ["ann 54832.1"],
            0.05,
            0.5,
            pause=2.570196999321356,
            faults={
                1: "reset after",
                2: "error after",
                3: "answer lost",
                5: "reset after",
                7: "error after",
                8: "answer lost",
                10: "request lost",
            },
        ),
    )
