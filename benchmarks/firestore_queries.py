"""Finding on Firestore: with what is pushed down against reading the namespace, on the same documents, in one run.

Run it with ``FIRESTORE_EMULATOR_HOST=127.0.0.1:8080 python benchmarks/firestore_queries.py`` (``--help`` lists the
options), or with ``--project`` against a real database, which it writes to and bills.

The time on the emulator says little about Firestore, which has indexes where the emulator looks at every document. The
documents read, which Firestore bills, are the same on both.
"""

from __future__ import annotations

import argparse
import os
import uuid
from collections.abc import Callable
from typing import Any

from measuring import console, number, print_environment, sample_value, table, take_turns

import datastore

PUSHED, UNPUSHED = "pushed", "unpushed"
FILTERS: dict[str, dict[str, Any]] = {
    "equality": {"group": 7},
    "equality of two fields": {"group": 7, "kind": "page"},
    "nested field": {"usage.by": "agent-7"},
    "$in": {"group": {"$in": [7, 8, 9]}},
    "element of an array": {"labels": "label-7"},
    "element of an array, and equality": {"labels": "label-7", "kind": "page"},
    "range, declared index": {"rank": {"$gte": 100, "$lt": 120}},
    "range, no index": {"other": {"$gte": 100, "$lt": 120}},
}


def document(index: int) -> dict[str, Any]:
    value = sample_value(index)
    value |= {"group": index % 100, "kind": ("note", "page")[index % 2], "rank": index, "other": index}
    value["usage"]["by"] = f"agent-{index % 100}"
    value["labels"] = [f"label-{index % 100}", "all"]
    return value


def finding(agent: datastore.AgentDataStore, filter: dict[str, Any]) -> Callable[[], int]:
    def turn() -> int:
        agent.find(filter)
        return 1

    return turn


def main() -> None:
    """Run the contests and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", help="a real project; by default the emulator is needed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=2_000, help="records in the namespace")
    arguments = parser.parse_args()
    if not arguments.project and not os.environ.get("FIRESTORE_EMULATOR_HOST"):
        parser.error("set FIRESTORE_EMULATOR_HOST, or give a project")
    project = arguments.project or f"bench-{uuid.uuid4().hex[:8]}"
    url, user = f"firestore://{project}/agent_data_store_benchmark", f"user-{uuid.uuid4().hex[:8]}"
    print_environment("google-cloud-firestore", "grpcio")
    rows = table(
        f"finds per second in {arguments.size:,} records, {arguments.rounds} rounds",
        "",
        PUSHED,
        UNPUSHED,
        "ratio",
        "quartiles",
        "documents read",
        "unpushed",
    )
    with datastore.connect(url, tracking="off") as store, datastore.connect(url, tracking="off") as other:
        store.ensure_index(["rank"])
        other._core.backend.plan = lambda *asked: None  # type: ignore[attr-defined]
        agents = {PUSHED: store.agent(user, "agent"), UNPUSHED: other.agent(user, "agent")}
        agents[PUSHED].set_many({f"key-{index:05}": document(index) for index in range(arguments.size)})
        for name, filter in FILTERS.items():
            assert agents[PUSHED].find(filter) == agents[UNPUSHED].find(filter)
            read = {one: agent.explain(filter)["documents_read"] for one, agent in agents.items()}
            rates = take_turns(
                {one: finding(agent, filter) for one, agent in agents.items()},
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                label=name,
            )
            low, high = rates.spread(PUSHED, UNPUSHED)
            rows.add_row(
                name,
                number(rates.median(PUSHED)),
                number(rates.median(UNPUSHED)),
                f"{rates.ratio(PUSHED, UNPUSHED):.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{read[PUSHED]:,}",
                f"{read[UNPUSHED]:,}",
            )
    console.print(rows)


if __name__ == "__main__":
    main()
