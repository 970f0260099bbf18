"""Seed 2015 on couchdb: p0 has left 1 connections open."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "2015",
        0.0,
        process(0, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(
            3,
            "set_many",
            ("b", "ann f7a4a.1"),
            ("n", 7002),
            ("job1", {"kind": "job", "name": "ann f7a4a.3", "n": 0}),
            pause=0.004624799358126525,
            faults={2: "error after", 5: "interrupted"},
        ),
        process(2, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(
            2,
            "set_many",
            ("job2", {"kind": "job", "name": "ann a8b54.3", "n": 0}),
            ("a", "ann a8b54.4"),
            ("job1", {"kind": "job", "name": "ann a8b54.5", "n": 0}),
            ("list", ["ann a8b54.6"]),
            ("n", 5007),
            pause=0.0008622524850097864,
        ),
    )
