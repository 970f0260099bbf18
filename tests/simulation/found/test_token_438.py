"""Seed 438 on token: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "438",
        0.05,
        process(0, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "pop", "b", pause=0.0023368277495902983, faults={1: "clock jump"}),
        call(1, "delete", "b", pause=0.009858760798036461),
        call(
            2,
            "set_many",
            ("job1", {"kind": "job", "name": "ann b103c.1", "n": 0}),
            ("n", 5002),
            ("a", "ann b103c.3"),
            ("b", "ann b103c.4"),
            pause=0.002269678167062179,
            faults={1: "request late"},
        ),
        call(3, "clear", pause=0.001705116240572951, faults={3: "error after"}),
    )
