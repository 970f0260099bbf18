"""Seed 3146 on dynamodb: items lost: vault_similar('audit') of audit.t0 lacks 0."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "3146",
        0.05,
        process(0, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            401,
            "vault_vectors",
            pause=1.2336765620964751,
            faults={9: "request lost", 12: "request late", 14: "request late"},
        ),
        process(1, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(402, "vault_add", "ann 6287c.2", pause=0.004069546679320132),
        call(404, "vault_similar", "ann 6287c.3", pause=0.0003676960053331208),
        call(
            401,
            "vault_vectors",
            pause=0.0021550501293549846,
            faults={
                4: "answer late",
                10: "answer late",
                15: "request lost",
                17: "request late",
                22: "request late",
                24: "request late",
                25: "request late",
            },
        ),
    )
