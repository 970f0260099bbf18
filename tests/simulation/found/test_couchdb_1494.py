"""Seed 1494 on couchdb: no order of the calls explains ann/ns/n."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "1494",
        0.2,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "set", "n", 2001, None, pause=0.29951340539541677),
        call(2, "clear", pause=0.0003232622536825155),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "list_keys", pause=0.0015355355307143004),
        call(1, "increment", "n", 2, pause=0.000886263546846149),
    )
