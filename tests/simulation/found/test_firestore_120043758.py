"""Seed 120043758 on firestore: a create is two calls here, and each had its own time."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "120043758",
        0.2,
        process(1, skew=0.31083132117867596, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(
            2,
            "create",
            "ann 7413d.7",
            pause=0.0027412686832249643,
            faults={
                1: "request lost",
                2: "answer late",
                3: "answer late",
                5: "answer late",
                6: "answer late",
                8: "answer late",
                9: "request late",
            },
        ),
    )
