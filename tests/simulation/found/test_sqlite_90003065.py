"""Seed 90003065 on sqlite: after a loss of power the file is none of those that were committed."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "90003065",
        0.0,
        process(0, skew=1.9526539712023103, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(304, "memory_search", "ann b3df1.5", 1, False, pause=0.00011679670785000838),
        call(
            303,
            "memory_set",
            "t3",
            "ann b3df1.4",
            None,
            pause=0.23222658116265404,
            faults={5: "disk full", 6: "disk full"},
        ),
        call(302, "memory_search", "ann b3df1.3", 9, False, pause=0.001904725452669963, faults={4: "power lost"}),
    )
