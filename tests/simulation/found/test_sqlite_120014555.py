"""Seed 120014555 on sqlite: a second interrupt arrived where the simulator notes the first one."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "120014555",
        0.05,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(100, "blob_put", "ann 3b2f4.1", None, 0.01, pause=0.21063964932699825),
        call(103, "fenced_increment", 0.05, "n", 1, pause=0.0013903917229059174),
        call(
            105,
            "run",
            0.05,
            "release",
            "ann 3b2f4.5",
            pause=0.00044666345497254524,
            faults={13: "interrupted", 16: "interrupted"},
        ),
        process(1, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(104, "lease", 2.0, True, pause=0.012357174944770179),
        call(103, "run", 2.0, "release", "ann 27582.1", pause=0.0026166481878818646),
        thread(1, "ann"),
        call(105, "blob_get", pause=0.004392086950302542),
    )
