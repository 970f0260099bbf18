"""Seed 1377 on firestore: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "1377",
        0.2,
        process(0, skew=1.4890448787459967, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "pop", "b", pause=2.5402169423783763),
        call(1, "increment", "n", 1, pause=0.002291121693968113, faults={2: "clock jump"}),
        process(1, skew=-0.11504662814144329, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "update_where", pause=0.054713845201728985, faults={1: "clock jump"}),
        call(1, "claim", 0.01, pause=0.43822184173655127),
        call(
            2,
            "set_many",
            ("b", "ann 622b2.1"),
            ("n", 7002),
            ("job2", {"kind": "job", "name": "ann 622b2.3", "n": 0}),
            pause=0.006356599183599407,
            faults={1: "clock jump"},
        ),
        call(
            3, "update_where", pause=1.5643362579788211, faults={2: "error before", 4: "partly done", 5: "clock jump"}
        ),
        call(4, "touch", "n", 0.01, pause=0.00073281081507808, faults={1: "reset after"}),
        call(
            5,
            "add_many",
            ("a", "ann 622b2.4"),
            ("job1", {"kind": "job", "name": "ann 622b2.5", "n": 0}),
            ("n", 7006),
            pause=0.0001185675657698543,
            faults={2: "reset after"},
        ),
        process(2, skew=3.3127807404267333, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "add", "n", 5001, 0.01, pause=1.2994711042803948, faults={2: "clock jump"}),
        call(1, "delete_if", "job1", Seen("job1"), pause=0.21514150965490395, faults={1: "error before"}),
        call(
            2,
            "set_many",
            ("job2", {"kind": "job", "name": "ann 26ed2.2", "n": 0}),
            ("job1", {"kind": "job", "name": "ann 26ed2.3", "n": 0}),
            ("a", "ann 26ed2.4"),
            ("n", 7005),
            ("b", "ann 26ed2.6"),
            pause=0.0002913694859435976,
            faults={2: "clock jump", 3: "clock jump"},
        ),
        call(3, "pop", "a", pause=0.00010201937986716272),
        call(
            4,
            "set_many",
            ("a", "ann 26ed2.7"),
            ("job1", {"kind": "job", "name": "ann 26ed2.8", "n": 0}),
            ("b", "ann 26ed2.9"),
            pause=0.0001889745688079911,
        ),
        thread(1, "ann"),
        call(0, "increment", "n", 2, pause=1.3379408197421272, faults={1: "partly done"}),
        call(1, "pop", "n", pause=0.0009630254201901557, faults={2: "clock jump"}),
        call(2, "update_where", pause=1.404450002572564),
        call(3, "update_where", pause=0.002898527338929758),
    )
