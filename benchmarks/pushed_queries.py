"""Finding with push-down against reading the whole namespace, on the same documents, in one run.

    python benchmarks/pushed_queries.py --url firestore://project/benchmark   # an emulator, or a real project
    python benchmarks/pushed_queries.py                                       # DynamoDB, on ministack, which it starts

A real database bills what this writes and reads. The time on an emulator means little: it has no indexes, and scans
every document either way. The number of documents read is the same on both.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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


@contextmanager
def ministack() -> Iterator[str]:
    """Start a server for DynamoDB, and yield its URL."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.servers import dynamodb
    from tests.servers.processes import temporary_folder

    os.environ.update(dynamodb.CREDENTIALS)
    server = dynamodb.new_ministack(temporary_folder("benchmark"))
    server.start()
    try:
        yield f"dynamodb://benchmark?region=eu-west-1&endpoint_url=http://127.0.0.1:{server.port}"
    finally:
        server.stop()


def main() -> None:
    """Run the contests and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a database; by default DynamoDB on ministack, which is installed and started")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=2_000, help="records in the namespace")
    arguments = parser.parse_args()
    if arguments.url:
        measure(arguments.url, arguments)
    else:
        with ministack() as url:
            measure(url, arguments)


def measure(url: str, arguments: argparse.Namespace) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    print_environment()
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
        with suppress(datastore.UnsupportedError):  # without an index, the row shows that all is read
            store.ensure_index(["rank"])
        other.backend.plan = lambda *asked: None  # type: ignore[method-assign]  # as if it could push nothing down
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
