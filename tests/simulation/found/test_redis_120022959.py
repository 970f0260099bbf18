"""Seed 120022959 on redis: a clear that was sent again removed what a lost write had made once more."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120022959",
        0.0,
        process(
            0,
            connecting={1: "answer lost", 2: "partly done", 3: "partly done"},
            tracking="deferred",
            flush_interval=0.01,
        ),
        thread(0, "ann"),
        call(
            5,
            "clear",
            pause=0.002974114456930991,
            faults={
                1: "partly done",
                3: "partly done",
                4: "partly done",
                5: "partly done",
                7: "partly done",
                9: "error after",
                10: "partly done",
            },
        ),
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "set", "n", 2001, 10, pause=0.9959363754056202),
        thread(1, "ann"),
        call(0, "delete", "list", pause=1.297889914695342),
        call(1, "increment", "n", 3, pause=0.00040186278757620316, faults={2: "answer late"}),
    )
