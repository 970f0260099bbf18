"""Seed 5006 on redis: no order of the calls explains ann/ns/n."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "5006",
        0.05,
        process(1, skew=1.5527177301332102, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "increment", "n", 3, pause=9.051354279250695e-05),
        call(2, "clear", pause=0.9648832480985818, faults={2: "throttled", 4: "request late"}),
        call(5, "increment", "n", 1, pause=0.0022220305716392588),
    )
