"""Seed 120034127 on token: the child of a fork had a thread that its parent began while the fork waited."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "120034127",
        0.2,
        process(1, skew=-0.5487452156939767, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(101, "run", 0.05, "finish", "ann ab47d.4", "ann ab47d.5", "ann ab47d.6", pause=0.03139880101176544),
        thread(1, "ann"),
        call(2, "fork", "child", pause=0.060097996412662225),
    )
