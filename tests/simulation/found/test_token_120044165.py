"""Seed 120044165 on token: a create is two calls here, and each had its own time."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "120044165",
        0.2,
        process(1, tracking="immediate", flush_interval=0.1),
        thread(1, "ann"),
        call(
            3,
            "create",
            "ann d352d.2",
            pause=0.13975859881970895,
            faults={
                1: "answer late",
                2: "answer late",
                3: "partly done",
                4: "answer late",
                5: "answer late",
                7: "answer late",
                8: "reset before",
                9: "reset before",
                10: "error after",
                11: "partly done",
                14: "answer late",
                15: "answer late",
            },
        ),
    )
