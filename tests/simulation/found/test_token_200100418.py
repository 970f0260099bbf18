"""Seed 200100418 on token: a lost write, expired, and another lost one over it."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "200100418",
        0.0,
        process(0, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "set", "b", "ann a8713.1", None, pause=0.17929512128972167, faults={1: "answer late"}),
        call(1, "pop", "n", pause=0.025292103160162657, faults={3: "answer late"}),
        call(4, "delete_many", "n", "job1", "a", "list", "b", pause=0.0034431431807214847),
        thread(1, "ann"),
        call(
            1, "append", "list", "ann 60c49.2", pause=0.0005871830570944561, faults={1: "answer late", 4: "answer late"}
        ),
        process(1, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "add", "list", ["ann 94dea.1"], None, pause=0.0007745186397937635),
        call(2, "touch", "list", 10, pause=0.10319503376600775, faults={1: "answer late"}),
        call(
            3,
            "set_many",
            ("job2", {"kind": "job", "name": "ann 94dea.3", "n": 0}),
            ("a", "ann 94dea.4"),
            ("n", 8005),
            pause=0.005546552371867483,
        ),
        call(4, "get_record", "list", pause=0.00035579060778011804),
        call(5, "get_record", "n", pause=3.444613557450547, faults={1: "clock jump"}),
        call(
            6, "append", "list", "ann 94dea.6", pause=0.0006402563225072538, faults={2: "reset after", 3: "answer late"}
        ),
    )
