"""Seed 60009833 on dynamodb: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "60009833",
        0.0,
        process(0, skew=-0.16377877892903037, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "set", "list", ["ann 118c6.1"], 0.01, pause=0.00034920328602939773),
        call(1, "in", "job1", pause=0.000524115939053584),
        call(2, "touch", "job2", 1, pause=0.00018262450574467153),
        call(3, "modify", "a", "ann 118c6.2", pause=1.493101485236092),
        call(4, "in", "list", pause=0.0006537418066141133),
        thread(1, "ann"),
        call(0, "fork", "child", pause=0.0003590427223220808),
        call(1, "list_keys", pause=0.01616763330726324),
        call(2, "get_record", "list", pause=0.00019879942683391272),
        call(3, "touch", "list", None, pause=0.005687205107012947),
        call(4, "get_or_set", "b", "ann 76f46.1", pause=1.9711990294522364),
        call(5, "get_record", "list", pause=2.265767740625605),
        process(1, skew=3.7334281184479927, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(
            0,
            "add_many",
            ("list", ["ann d2b62.1"]),
            ("job1", {"kind": "job", "name": "ann d2b62.2", "n": 0}),
            ("a", "ann d2b62.3"),
            pause=0.0012356594196227823,
        ),
        call(1, "find_one_and_update", pause=1.0305982122573236),
        call(2, "namespace_stats", pause=0.0005022948534012126),
        thread(1, "ann"),
        call(0, "get_record", "job2", pause=0.0007832829069506952),
        call(1, "get_records", "b", "job1", "list", "job2", "n", "a", pause=2.8488122510385847),
        call(2, "touch", "list", None, pause=0.15416865130580162),
        process(2, skew=4.0278820657823164, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "modify", "b", "ann c13d9.1", pause=0.0018287692674149386),
        call(
            1,
            "set_many",
            ("b", "ann c13d9.2"),
            ("n", 3003),
            ("a", "ann c13d9.4"),
            ("job2", {"kind": "job", "name": "ann c13d9.5", "n": 0}),
            ("job1", {"kind": "job", "name": "ann c13d9.6", "n": 0}),
            pause=0.0009023594730892863,
        ),
        call(2, "get_record", "a", pause=0.39906955252657983),
        call(3, "get_or_set", "a", "ann c13d9.7", pause=0.007654321392387104),
        call(4, "delete_if", "job1", Seen("job1"), pause=0.00010449408315936375),
    )
