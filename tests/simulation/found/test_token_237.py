"""Seed 237 on token: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "237",
        0.2,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "claim", 0.01, pause=0.00038652771851608924, faults={1: "reset after"}),
        call(1, "find_one_and_update", pause=2.1104208470782724, faults={1: "throttled", 2: "throttled"}),
        call(2, "find", pause=0.6281054000274369, faults={1: "reset after"}),
        call(
            3,
            "set_many",
            ("job1", {"kind": "job", "name": "ann 6c00b.1", "n": 0}),
            ("b", "ann 6c00b.2"),
            ("n", 7003),
            ("job2", {"kind": "job", "name": "ann 6c00b.4", "n": 0}),
            pause=5.8151561631607126e-05,
            faults={1: "reset after", 2: "request late", 4: "throttled"},
        ),
        call(
            4,
            "update_where",
            pause=0.08550196062094689,
            faults={1: "throttled", 2: "request late", 3: "throttled", 4: "request late"},
        ),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "touch", "job2", None, pause=1.1864849844941667),
        call(1, "clear", pause=0.0008792038844962201),
        call(2, "claim", 60, pause=0.0005678301081722355, faults={1: "reset before", 2: "reset before"}),
        call(3, "clear", pause=0.9858652960012754),
        call(
            4,
            "set_many",
            ("job1", {"kind": "job", "name": "ann 06342.1", "n": 0}),
            ("b", "ann 06342.2"),
            ("job2", {"kind": "job", "name": "ann 06342.3", "n": 0}),
            pause=0.879382095736413,
            faults={1: "throttled"},
        ),
        process(2, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "get_all", pause=0.31484117031184833, faults={1: "killed after"}),
        call(1, "clear", pause=0.2838095352463283, faults={1: "reset after", 2: "throttled"}),
        call(
            2,
            "get_record",
            "n",
            pause=0.00041758029688163605,
            faults={1: "request late", 2: "throttled", 3: "killed after"},
        ),
        call(3, "delete", "a", pause=0.7091658611590835),
        call(4, "delete", "job2", pause=0.035111073867821814),
        call(5, "delete", "n", pause=0.22330220733219092),
    )
