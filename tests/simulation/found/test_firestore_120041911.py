"""Seed 120041911 on firestore: minutes of waiting, in which counts are looked at every hundredth of a second."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "120041911",
        0.2,
        process(1, skew=4.318974196709769, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            102,
            "blob_put",
            "ann 4b456.1ann 4b456.1ann 4b456.1",
            None,
            3600,
            pause=0.0006825088589165447,
            faults={2: "answer lost", 5: "reset before", 6: "request late"},
        ),
        call(301, "memory_search", "ann ef0a9.2", 1, True, pause=0.002765452778998694),
        thread(1, "ann"),
        call(300, "memory_add", "t3", "ann cb927.1", None, pause=1.5185008398501167),
        call(
            3,
            "import",
            pause=0.00047748803250541387,
            faults={
                2: "request late",
                11: "error before",
                15: "error before",
                16: "answer lost",
                18: "error before",
                19: "reset after",
                25: "answer lost",
                26: "error before",
                28: "error before",
                30: "error before",
                34: "request late",
            },
        ),
        call(
            4,
            "purge_expired",
            pause=1.1801344792742916,
            faults={7: "error before", 8: "error before", 9: "request late"},
        ),
        call(
            304,
            "memory_edit",
            "t3",
            "ann cb927.4",
            pause=0.005208374757160863,
            faults={1: "answer lost", 2: "request late", 5: "request late"},
        ),
        call(
            5,
            "add",
            "job1",
            {"kind": "job", "name": "ann 01a14.3", "n": 0},
            1,
            pause=2.305406265243926e-06,
            faults={1: "request late", 2: "answer lost", 3: "request late", 4: "answer lost"},
        ),
        call(6, "import", pause=1.085748070098957, faults={3: "error before", 5: "request late"}),
    )
