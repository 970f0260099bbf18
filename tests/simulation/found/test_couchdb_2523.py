"""Seed 2523 on couchdb: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "2523",
        0.2,
        process(0, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(
            0,
            "set_if",
            "job1",
            {"kind": "job", "name": "ann e5714.1", "n": 0},
            Seen("job1"),
            pause=0.0012641908710947561,
        ),
        call(1, "modify", "b", "ann e5714.2", pause=0.23922640591118383),
        call(
            2,
            "set_if",
            "job2",
            {"kind": "job", "name": "ann e5714.3", "n": 0},
            Seen("job2"),
            pause=0.004064459930346082,
            faults={1: "answer late"},
        ),
        call(3, "get_all", pause=0.0002986268489598861),
        call(4, "find_one_and_update", pause=0.014025392918778341),
        thread(1, "ann"),
        call(0, "get_all", pause=0.002910974963526188),
        call(1, "delete_many", "job2", "a", "job1", "n", pause=0.15216634449115615),
        call(2, "claim", 0.01, pause=0.002363271323143036),
        call(3, "touch", "n", None, pause=0.20363595583183725, faults={1: "request lost"}),
        call(4, "delete_where", pause=2.8611256835621366, faults={1: "request lost", 2: "answer lost"}),
        call(5, "update_where", pause=0.056346841632624156),
        process(1, connecting={2: "answer late"}, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "get_all", pause=0.0015986053178145927, faults={1: "request lost"}),
        call(1, "increment", "n", 1, pause=0.006784468623826372),
        thread(1, "ann"),
        call(
            0,
            "set",
            "job1",
            {"kind": "job", "name": "ann 6187d.1", "n": 0},
            10,
            pause=0.0004535806093087931,
            faults={1: "error after", 2: "error after"},
        ),
        call(
            1,
            "find_one_and_update",
            pause=0.006739584564673373,
            faults={1: "error after", 3: "answer late", 4: "request lost"},
        ),
        call(
            2,
            "set_if",
            "job1",
            {"kind": "job", "name": "ann 6187d.2", "n": 0},
            Seen("job1"),
            pause=0.008574557508145588,
        ),
        call(3, "set_if", "a", "ann 6187d.3", Seen("a"), pause=0.006151782598770153),
        call(4, "modify", "a", "ann 6187d.4", pause=1.106880157542429, faults={1: "answer late"}),
    )
