"""Seed 753 on couchdb: no order of the calls explains ann/ns/n."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "753",
        0.0,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            104,
            "fenced_delete",
            2.0,
            "n",
            pause=0.5634204404831812,
            faults={1: "answer cut", 5: "answer cut", 6: "answer cut", 8: "error before"},
        ),
        process(1, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(101, "fenced_set", 2.0, "n", 8002, pause=0.0029000400690248162),
    )
