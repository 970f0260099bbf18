"""Seed 120050307 on dynamodb: an edit of a text had no answer, and the text was deleted before it looked."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "120050307",
        0.0,
        process(0, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "set", "a", "ann a959e.1", 1, pause=2.8785684097733473),
        call(301, "memory_delete", "t1", pause=0.007747557813877137),
        thread(1, "ann"),
        call(302, "memory_add", "t1", "ann c2dd7.3\n\nann c2dd7.3 again", None, pause=0.0011934877463383035),
        call(
            303,
            "memory_edit",
            "t1",
            "ann c2dd7.4\n\nann c2dd7.4 again",
            pause=0.00029035484119351897,
            faults={5: "answer late"},
        ),
        process(1, tracking="immediate", flush_interval=0.1),
        thread(1, "ann"),
        call(302, "memory_set", "t3", "ann ec056.3", None, pause=0.9511930665405487),
        call(300, "memory_search", "ann ec056.1", 9, True, pause=0.00017670872521120316),
    )
