"""Seed 30004471 on sqlite: after a loss of power the file is none of those that were committed."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "30004471",
        0.05,
        process(0, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(
            102,
            "blob_put",
            "ann 3c239.1" * 12,
            None,
            0,
            pause=0.7907115129117722,
        ),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(102, "blob_put", "ann 7f9cf.1", None, 0.01, pause=0.0003979659372886572),
        call(101, "blob_get", pause=1.3628188205461902),
        call(
            103,
            "blob_put",
            "ann 7f9cf.2" * 12,
            None,
            0,
            pause=0.00010710035701887363,
            faults={4: "power lost"},
        ),
        process(2, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(101, "lease", 2.0, True, pause=0.3990680392395479),
        thread(1, "ann"),
        call(101, "fenced_increment", 2.0, "n", 1, pause=0.5992624656508699),
        call(100, "log_read", 0, None, True, pause=0.0006103783248837482),
        call(102, "blob_put", "ann ee0c1.1", None, 3600, pause=0.0012456123972199107, faults={16: "killed before"}),
    )
