"""Seed 6517 on token: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "6517",
        0.2,
        process(0, skew=2.6440824249851644, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "increment", "n", 3, pause=0.8025846809390192),
        call(1, "increment", "n", 3, pause=0.21509519002176591),
        call(2, "clear", pause=0.0006426627288118327, faults={5: "partly done"}),
        call(3, "increment", "n", 2, pause=0.0011751120640167677),
        thread(1, "ann"),
        call(0, "set_if", "n", 4001, Seen("n"), pause=0.0016120615525915705),
        call(1, "pop", "n", pause=8.441822817283668e-05),
        call(2, "delete_if", "job2", Seen("job2"), pause=0.00048545531630640607),
        call(3, "list_keys", pause=0.0013222971695966907),
        call(4, "get_many", "job1", "a", "n", "b", pause=0.7365589471130355),
        process(1, skew=-0.47165159219251773, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "add_many",
            ("job2", {"kind": "job", "name": "ann 94d1d.1", "n": 0}),
            ("b", "ann 94d1d.2"),
            ("n", 1003),
            ("a", "ann 94d1d.4"),
            pause=0.8309533455635296,
        ),
        call(1, "delete_many", "job1", "a", "b", "n", pause=1.1945435825023591, faults={4: "partly done"}),
        call(2, "increment", "n", 1, pause=2.504745296033645),
        call(3, "set_if", "n", 8005, Seen("n"), pause=0.015166148807494551),
        process(2, skew=4.664631979999626, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "increment", "n", 3, pause=0.32657277202298207),
        call(1, "list_keys", pause=0.18676050326346794),
        call(2, "add", "b", "ann 16a19.1", 0.01, pause=0.3251795176449161),
        call(3, "touch", "a", 10, pause=0.013153790201473977),
        thread(1, "ann"),
        call(0, "delete_many", "n", "job2", "a", pause=0.0004364212932590496),
        call(1, "find", pause=1.1643162349575198),
    )
