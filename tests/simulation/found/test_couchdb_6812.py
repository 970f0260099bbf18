"""Seed 6812 on couchdb, made smaller by hand: no order of the calls explains ann/ns/list.

A `clear` that fails in the end has sent its deletions, and they arrive late: when the record has been written again.
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "6812",
        0.05,
        process(0, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "set", "list", ["ann 2ce71.1"], 10, pause=0.001),
        call(1, "set", "list", ["ann 2ce71.2"], 10, pause=1.5),
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "clear",
            pause=1.0,
            faults={3: "request late", **dict.fromkeys(range(4, 40), "request lost")},
        ),
    )
