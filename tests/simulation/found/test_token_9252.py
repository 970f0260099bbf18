"""Seed 9252 on token: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "9252",
        0.0,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "get_or_set", "b", "ann 69895.1", pause=3.894287830786509),
        call(1, "pop", "b", pause=0.022020286216061564),
        call(2, "get_many", "a", "job1", "b", "n", "job2", pause=0.0006233002730137605),
        call(3, "get_or_set", "b", "ann 69895.2", pause=0.0010792823610806775),
        call(4, "set", "b", "ann 69895.3", None, pause=0.7750795611595211),
        call(5, "get_many", "a", "job2", pause=0.0005066112096230971),
        thread(1, "ann"),
        call(0, "list_keys", pause=0.9790533240141398),
        call(1, "set", "job1", {"kind": "job", "name": "ann c1089.1", "n": 0}, 0.01, pause=0.0012665867785432996),
        call(2, "pop", "b", pause=0.012299002159526696),
        process(1, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "get_or_set",
            "b",
            "ann c9789.1",
            pause=0.003972967515712285,
            faults={4: "request late", 5: "reset after"},
        ),
        call(1, "get_many", "job2", "n", "a", "job1", pause=0.0005182739674589314, faults={2: "request late"}),
        call(2, "list_keys", pause=0.00252166526593605),
        call(3, "get_all", pause=3.1826481730878453),
        call(4, "modify", "b", "ann c9789.2", pause=0.0017645500178568503),
        call(5, "get_or_set", "a", "ann c9789.3", pause=0.0008362648246353042),
    )
