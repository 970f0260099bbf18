"""Seed 14779 on firestore: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "14779",
        0.2,
        process(0, skew=-1.157379444724346, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "list_keys", pause=0.2088163592035025),
        call(1, "update_where", pause=0.005170370561320605),
        call(2, "set", "b", "ann 61856.1", 0.01, pause=0.000980734963724306),
        call(3, "get_record", "job1", pause=0.010191592687872808),
        call(4, "set", "job1", {"kind": "job", "name": "ann 61856.2", "n": 0}, 10, pause=0.0013556399756089541),
        call(
            5,
            "set_many",
            ("b", "ann 61856.3"),
            ("job1", {"kind": "job", "name": "ann 61856.4", "n": 0}),
            ("a", "ann 61856.5"),
            ("job2", {"kind": "job", "name": "ann 61856.6", "n": 0}),
            pause=9.140855730555888e-05,
        ),
        process(1, skew=-1.0490663056455638, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "add", "job1", {"kind": "job", "name": "ann 1d9f8.1", "n": 0}, None, pause=0.009392124385823826),
        call(1, "set", "b", "ann 1d9f8.2", 10, pause=0.0007219986808687019),
        call(2, "touch", "job1", 10, pause=5.217624584882983e-05, faults={3: "answer late"}),
        call(3, "get_record", "job1", pause=0.0003249147973093331),
        call(4, "add", "n", 3003, None, pause=3.0277456414191937),
        call(5, "set", "n", 7004, None, pause=0.0058977330503301685),
    )
