"""The store on Firestore against Google's own client, on the same documents, in one run.

Run it with ``FIRESTORE_EMULATOR_HOST=127.0.0.1:8080 python benchmarks/firestore_against_client.py`` (``--help`` lists
the options), or with ``--project`` against a real database, which it writes to and bills.

The client does what a program without the store would do: it reads a document, creates one, updates the fields that
change, reads and writes batches, and streams a range of ids. The store does the same, and also keeps creation fields
and revisions, checks preconditions, and counts accesses; writing the counts is part of its time. The target is nine
tenths of the client's speed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from google.cloud import firestore
from google.cloud.firestore_v1.field_path import FieldPath
from measuring import console, number, print_environment, sample_value, table, take_turns, verdict

import datastore

TARGET = 0.9
STORE, CLIENT = "store", "client"


class Client:
    """Google's client, as one would use it."""

    def __init__(self, project: str, prefix: str) -> None:
        self.client = firestore.Client(project=project)
        self.collection = self.client.collection("bare")
        self.prefix = prefix

    def reference(self, key: str) -> Any:
        return self.collection.document(f"{self.prefix}:{key}")

    def fields(self, key: str, value: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {"key": key, "value": value, "createdAt": now, "updatedAt": now, "createdByAgent": "agent"}

    def get(self, key: str) -> Any:
        return self.reference(key).get().get("value")

    def create(self, key: str, value: Any) -> None:
        self.reference(key).create(self.fields(key, value))

    def update(self, key: str, value: Any) -> None:
        self.reference(key).update({"value": value, "updatedAt": datetime.now(UTC)})

    def delete(self, key: str) -> None:
        self.reference(key).delete()

    def get_many(self, keys: list[str]) -> list[Any]:
        return [found.get("value") for found in self.client.get_all([self.reference(key) for key in keys])]

    def set_many(self, items: dict[str, Any]) -> None:
        batch = self.client.batch()
        for key, value in items.items():
            batch.set(self.reference(key), self.fields(key, value))
        batch.commit()

    def get_all(self) -> dict[str, Any]:
        name = FieldPath.document_id()
        start, end = self.collection.document(f"{self.prefix}:"), self.collection.document(f"{self.prefix};")
        query = self.collection.order_by(name).start_at({name: start}).end_before({name: end})
        return {found.get("key"): found.get("value") for found in query.stream()}


def contests(agent: datastore.AgentDataStore, client: Client, size: int) -> dict[str, dict[str, Callable[[], int]]]:
    """Return the work of both, by operation; a turn returns how many operations it made."""
    values = [sample_value(index) for index in range(size)]
    keys = [f"key-{index:04}" for index in range(size)]
    items = dict(zip(keys, values, strict=True))
    agent.set_many(items)
    client.set_many(items)
    fresh, pick = itertools.count(), itertools.count()

    def new() -> str:
        return f"new-{next(fresh)}"

    def ten(work: Callable[[int], object]) -> Callable[[], int]:
        def turn() -> int:
            for _ in range(10):
                work(next(pick) % size)
            return 10

        return turn

    def once(work: Callable[[], object]) -> Callable[[], int]:
        def turn() -> int:
            work()
            return size

        return turn

    scratch, bare_scratch = agent.use_namespace("scratch"), Client(client.client.project, f"{client.prefix}-scratch")

    def set_and_delete(set_: Callable[[str, Any], object], delete: Callable[[str], object]) -> Callable[[int], object]:
        def work(index: int) -> None:
            key = new()
            set_(key, values[index])
            delete(key)

        return work

    def set_many(set_: Callable[[dict[str, Any]], object]) -> Callable[[], object]:
        return lambda: set_({f"{new()}": value for value in values})

    # The reads come first: the emulator scans the whole collection, and the writes of the two make it grow unequally.
    return {
        "get": {STORE: ten(lambda i: agent.get(keys[i])), CLIENT: ten(lambda i: client.get(keys[i]))},
        f"get_many {size}": {
            STORE: once(lambda: agent.get_many(keys)),
            CLIENT: once(lambda: client.get_many(keys)),
        },
        f"get_all {size}": {STORE: once(agent.get_all), CLIENT: once(client.get_all)},
        "set, existing key": {
            STORE: ten(lambda i: agent.set(keys[i], values[i])),
            CLIENT: ten(lambda i: client.update(keys[i], values[i])),
        },
        "set, new key": {
            STORE: ten(lambda i: scratch.set(new(), values[i])),
            CLIENT: ten(lambda i: bare_scratch.create(new(), values[i])),
        },
        "set and delete": {
            STORE: ten(set_and_delete(scratch.set, scratch.delete)),
            CLIENT: ten(set_and_delete(bare_scratch.create, bare_scratch.delete)),
        },
        f"set_many {size} new": {
            STORE: once(set_many(scratch.set_many)),
            CLIENT: once(set_many(bare_scratch.set_many)),
        },
        f"set_many {size} existing": {
            STORE: once(lambda: agent.set_many(items)),
            CLIENT: once(lambda: client.set_many(items)),
        },
    }


def main() -> None:
    """Run the contests and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", help="a real project; by default the emulator is needed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=100, help="records in a batch")
    arguments = parser.parse_args()
    if not arguments.project and not os.environ.get("FIRESTORE_EMULATOR_HOST"):
        parser.error("set FIRESTORE_EMULATOR_HOST, or give a project")
    project = arguments.project or f"bench-{uuid.uuid4().hex[:8]}"
    run = uuid.uuid4().hex[:8]
    print_environment("google-cloud-firestore", "grpcio")
    rows = table(f"operations per second, {arguments.rounds} rounds", "", STORE, CLIENT, "ratio", "quartiles", "")
    with datastore.connect(f"firestore://{project}/agent_data_store_benchmark") as store:
        agent = store.agent(f"user-{run}", "agent")
        for name, contestants in contests(agent, Client(project, run), arguments.size).items():
            rates = take_turns(
                contestants,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                settle={STORE: store.flush},
                label=name,
            )
            ratio, (low, high) = rates.ratio(STORE, CLIENT), rates.spread(STORE, CLIENT)
            rows.add_row(
                name,
                number(rates.median(STORE)),
                number(rates.median(CLIENT)),
                f"{ratio:.2f}",
                f"{low:.2f}-{high:.2f}",
                verdict(ratio >= TARGET),
            )
    console.print(rows)


if __name__ == "__main__":
    main()
