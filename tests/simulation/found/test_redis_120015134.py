"""Seed 120015134 on redis: a clear that was sent again, as text, removed and counted what was made since."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120015134",
        0.05,
        process(0, skew=-0.9558841554877562, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "explain", pause=0.00047638144662396557),
        call(1, "append", "list", "ann a4875.1", pause=0.0007156346729596907),
        process(1, skew=1.7511304881821408, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "get_many", "b", "list", "job2", "job1", "a", pause=2.267280065223739, faults={1: "request late"}),
        call(2, "clear", pause=1.4670641863177742),
        process(2, skew=-1.445014895930031, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "find_records", pause=0.0005015827433454562, faults={2: "power lost", 4: "made anew"}),
        call(
            1, "set_if", "job1", {"kind": "job", "name": "ann a1afa.1", "n": 0}, Seen("job1"), pause=1.0883996601868593
        ),
        call(2, "update", "job1", "ann a1afa.2", pause=0.0005195415719949941),
        call(4, "get_many", "b", "job2", "a", "list", "n", pause=0.8238034997637597),
        call(5, "clear", pause=0.0014616261131564277, faults={1: "throttled", 4: "request late"}),
        thread(1, "ann"),
        call(0, "get_record", "list", pause=0.0015802907303752803, faults={1: "power lost"}),
        call(1, "set", "list", ["ann 1ef52.1"], None, pause=2.1681652244424816, faults={1: "reset before"}),
        call(2, "get_many", "job2", "job1", "a", "b", "list", "n", pause=0.7766658595378257),
        call(5, "set", "list", ["ann 1ef52.2"], 10, pause=0.9153236802966634),
    )
