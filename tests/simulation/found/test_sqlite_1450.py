"""Seed 1450 on sqlite: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "1450",
        0.05,
        process(0, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "delete", "n", pause=0.0026054384167213483),
        call(1, "update_where", pause=0.00017306196152148853),
        process(1, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "delete", "a", pause=0.0057342461742786776),
        call(1, "increment", "n", 2, pause=0.0038239517231630615),
        call(2, "delete", "job2", pause=0.0005274627687701931),
        thread(1, "ann"),
        call(0, "add", "job1", {"kind": "job", "name": "ann 38dcc.1", "n": 0}, None, pause=0.11525647767332377),
        call(1, "get_record", "b", pause=0.009635680124513707),
        call(2, "add", "n", 5002, 1, pause=0.0002887129792888115),
        call(3, "update_where", pause=0.0005561842237163065),
        call(4, "get", "n", pause=0.00012492872752845253),
        process(2, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "get_record", "a", pause=0.00048373703541115635),
        call(1, "add", "a", "ann 6ebab.1", None, pause=0.5871644611881169),
        call(2, "add", "b", "ann 6ebab.2", None, pause=0.49835357108562905),
        call(3, "get_record", "job2", pause=6.451905285062958e-05),
        call(4, "claim", 60, pause=0.000978011957089021),
    )
