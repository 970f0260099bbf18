"""Seed 200004011 on token: a get_or_set read what a late request of its own had stored, and counted that."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "200004011",
        0.2,
        process(0, skew=-1.0574079794485005, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(
            1,
            "get_or_set",
            "a",
            "ann 4dd5a.1",
            pause=0.0005980727602954753,
            faults={4: "reset before", 6: "request late", 7: "reset before", 11: "request late"},
        ),
        call(5, "exists", "n", pause=0.0030245879309917494),
        process(1, skew=4.631674570926238, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "create", "ann ba550.1", pause=0.001200558821360034, faults={4: "request late"}),
        call(
            2,
            "add_many",
            ("job1", {"kind": "job", "name": "ann ba550.2", "n": 0}),
            ("n", 9003),
            ("a", "ann ba550.4"),
            ("b", "ann ba550.5"),
            ("job2", {"kind": "job", "name": "ann ba550.6", "n": 0}),
            pause=0.0005131189993854958,
        ),
        thread(1, "ann"),
        call(1, "scan", pause=0.007849032384155328, faults={1: "partly done", 2: "request late"}),
        call(2, "delete", "a", pause=2.112003129676819),
    )
