"""Seed 120009527 on redis: a second interrupt arrived where the simulator notes the first one."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120009527",
        0.2,
        process(0, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(101, "run", 2.0, "release", "ann 3dbc1.2", "ann 3dbc1.3", pause=0.0012273918355624536),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(
            104,
            "run",
            2.0,
            "release",
            "ann b3531.7",
            "ann b3531.8",
            pause=0.28506393004683495,
            faults={4: "server clock jump", 6: "interrupted", 7: "interrupted"},
        ),
    )
