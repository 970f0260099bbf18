"""Seed 27 on dynamodb: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "27",
        0.2,
        process(0, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "claim", 60, pause=0.0005430038933917794, faults={1: "partly done"}),
        call(1, "get", "b", pause=0.0001734707108131368, faults={1: "request late", 2: "error after"}),
        call(2, "set", "n", 9001, 1, pause=0.0034449262368359407, faults={1: "request late"}),
        call(
            3,
            "increment",
            "n",
            1,
            pause=0.005163365801226546,
            faults={1: "partly done", 3: "error after", 4: "clock jump"},
        ),
        call(
            4,
            "increment",
            "n",
            2,
            pause=0.6557548240093203,
            faults={2: "request late", 4: "partly done", 5: "answer cut", 7: "partly done"},
        ),
        call(5, "add", "n", 9002, 0.01, pause=0.0023091691138121674, faults={1: "request late"}),
        process(1, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "update_where", pause=1.735481865844057e-05),
        call(1, "claim", 60, pause=0.00018170333715519446),
        call(
            2, "delete_if", "job1", Seen("job1"), pause=2.0029617865644145, faults={1: "request late", 2: "partly done"}
        ),
        call(
            3,
            "increment",
            "n",
            1,
            pause=0.003305766244730611,
            faults={1: "request late", 2: "answer cut", 4: "clock jump"},
        ),
        call(4, "get_many", "b", "job2", "n", pause=0.0012810171521165882, faults={1: "request late"}),
        call(5, "find_one_and_update", pause=0.005936523298031661, faults={1: "request late"}),
        call(6, "get_all", pause=0.0018200798600601221),
        thread(1, "ann"),
        call(0, "claim", 60, pause=6.282533991713733e-05),
        call(1, "get", "n", pause=2.199351889094484),
        call(
            2,
            "get_or_set",
            "b",
            "ann ef4a2.1",
            pause=0.0002385852043682212,
            faults={2: "request late", 4: "partly done", 5: "clock jump", 6: "clock jump", 7: "clock jump"},
        ),
        call(3, "add", "b", "ann ef4a2.2", None, pause=0.001243843699349721),
        call(4, "get", "b", pause=0.0039946006123698025),
    )
