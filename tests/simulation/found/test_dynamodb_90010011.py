"""Seed 90010011 on dynamodb: no order of the calls explains ann/ns/n."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "90010011",
        0.05,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(1, "ann"),
        call(1, "increment", "n", 2, pause=0.17915118330507465),
        call(2, "increment", "n", 3, pause=0.009206842402779558),
        call(5, "increment", "n", 3, pause=0.5667997890927824),
        process(1, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "increment", "n", 3, pause=0.00014541028203308686),
        call(
            2,
            "set_many",
            ("job1", {"kind": "job", "name": "ann b32f9.5", "n": 0}),
            ("a", "ann b32f9.6"),
            ("n", 7007),
            ("b", "ann b32f9.8"),
            ("job2", {"kind": "job", "name": "ann b32f9.9", "n": 0}),
            pause=0.000816672687320387,
        ),
        call(
            3,
            "set_many",
            ("job2", {"kind": "job", "name": "ann b32f9.10", "n": 0}),
            ("list", ["ann b32f9.11"]),
            ("b", "ann b32f9.12"),
            ("n", 9013),
            ("job1", {"kind": "job", "name": "ann b32f9.14", "n": 0}),
            pause=0.0009282046051461998,
        ),
        call(4, "increment", "n", 3, pause=0.0004708015430903815),
        call(5, "increment", "n", 2, pause=0.0001604836981913851),
        process(2, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(
            2,
            "set_many",
            ("n", 9001),
            ("job1", {"kind": "job", "name": "ann 2302c.2", "n": 0}),
            ("b", "ann 2302c.3"),
            ("a", "ann 2302c.4"),
            pause=0.0017480057942909765,
            faults={1: "answer late"},
        ),
    )
