"""Seed 825 on token: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "825",
        0.0,
        process(0, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "delete", "n", pause=0.0039102369649654176),
        call(1, "set", "n", 7001, None, pause=0.0010028111843024008),
        call(2, "get_all", pause=0.003950199616265392),
        call(3, "set_if", "b", "ann 04966.2", Seen("b"), pause=0.0007972628539273523),
        call(
            4,
            "add",
            "job2",
            {"kind": "job", "name": "ann 04966.3", "n": 0},
            10,
            pause=0.002026625125112068,
            faults={1: "answer lost"},
        ),
        call(5, "set_if", "b", "ann 04966.4", Seen("b"), pause=0.0030078432833544155, faults={1: "killed before"}),
        call(
            6,
            "add_many",
            ("b", "ann 04966.5"),
            ("n", 7006),
            ("a", "ann 04966.7"),
            pause=0.0012189053337186221,
            faults={2: "answer lost"},
        ),
        thread(1, "ann"),
        call(0, "delete", "job1", pause=0.00036709546704019125, faults={1: "request late"}),
        call(1, "set", "n", 5001, 10, pause=0.0006230631769400825, faults={1: "request late"}),
        process(1, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "add",
            "n",
            2001,
            0.01,
            pause=0.0011159156609282643,
            faults={1: "answer lost", 2: "answer lost", 4: "request late", 5: "answer lost"},
        ),
        call(
            1, "set_if", "job2", {"kind": "job", "name": "ann c952d.2", "n": 0}, Seen("job2"), pause=1.0119853788847284
        ),
        call(2, "delete", "job2", pause=0.8239123503449233),
        call(3, "delete", "job2", pause=0.000327935853067454),
        call(4, "touch", "b", 0.01, pause=0.0004684395598805822),
        call(5, "delete", "job1", pause=0.0014302065098741727),
    )
