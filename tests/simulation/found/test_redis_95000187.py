"""Seed 95000187 on redis: no order of the calls explains ben/ns/b."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "95000187",
        0.0,
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ben"),
        call(0, "set", "b", "ben 01e5d.1", 1, pause=0.001967418852297359),
        call(1, "find", pause=0.005028318372386592, faults={2: "request late"}),
        process(2, tracking="deferred", flush_interval=0.1),
        thread(0, "ben"),
        call(
            0,
            "append",
            "list",
            "ben 30902.1",
            pause=0.004402912448882997,
            faults={2: "request late", 3: "request lost", 4: "power lost"},
        ),
    )
