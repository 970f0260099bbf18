"""Seed 120044780 on couchdb: a clear removed a key four times, as others wrote it anew each time."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "120044780",
        0.05,
        process(0, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "add_many",
            ("list", ["ann 42eaf.1"]),
            ("job2", {"kind": "job", "name": "ann 42eaf.2", "n": 0}),
            ("n", 4003),
            ("job1", {"kind": "job", "name": "ann 42eaf.4", "n": 0}),
            pause=0.001957399979727635,
        ),
        call(
            1,
            "add_many",
            ("b", "ann 42eaf.5"),
            ("a", "ann 42eaf.6"),
            ("job1", {"kind": "job", "name": "ann 42eaf.7", "n": 0}),
            ("n", 5008),
            ("list", ["ann 42eaf.9"]),
            pause=0.0006951561859492876,
        ),
        call(2, "append", "list", "ann 42eaf.10", pause=4.605715592301054),
        call(
            3,
            "add_many",
            ("list", ["ann 42eaf.11"]),
            ("job2", {"kind": "job", "name": "ann 42eaf.12", "n": 0}),
            ("n", 5013),
            ("b", "ann 42eaf.14"),
            ("job1", {"kind": "job", "name": "ann 42eaf.15", "n": 0}),
            pause=0.7128007924481061,
        ),
        thread(1, "ann"),
        call(0, "clear", pause=0.002127754714889836, faults={6: "request lost"}),
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "update", "job2", "ann 96db6.2", pause=0.00016969554868453952, faults={2: "request lost"}),
    )
