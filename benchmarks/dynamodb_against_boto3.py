"""The DynamoDB backend against bare boto3, on the same server in one run.

Run it with ``python benchmarks/dynamodb_against_boto3.py`` (``--help`` lists the options). By default it starts
ministack, and dynalite with ``--server dynalite``; ``--endpoint`` or ``--region`` name another server, or AWS. These
servers take many times as long as the client: ``--replay`` leaves them out, and ``--processor-time`` leaves out what
else the machine does.

The rows: one `set`, one tracked `get`, `set_many` and `get_many` of 100 keys; 1,000 keys with JSON values of about
500 bytes, which exist before the clock starts. Everything is counted in keys per second.

- *ours* runs with its default options, so every `get` is counted. The counts of a turn are written before its clock
  stops, although in real use they are written in the background (``--uncounted`` turns counting off on our side, as it
  is on the other).
- *boto3* is the fastest usual way to write it: the low-level ``client`` with its default settings, and the value as
  JSON text in one attribute, which no filter can look into. `set` is an ``update_item`` that keeps when and by whom a
  record was created, `get` is a strongly consistent ``get_item``, `set_many` has the same updates in a transaction, and
  `get_many` is a ``batch_get_item``. It counts no accesses, and repeats nothing safely. *replace_many* is a
  ``batch_write_item``, which promises less and so has no target: it replaces whole items, including when and by whom
  they were created, and how often they were read.

``--waiting`` shows for both sides which part of the time of a call passes between sending a request and having its
answer: the server's time, which no code on the client's side can save.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from measuring import add_clock, console, number, print_environment, sample_value, table, take_turns, verdict

import datastore
from datastore_dynamodb import DynamoBackend

OURS, BARE = "ours", "boto3"
Rows = dict[str, tuple[Callable[[], int], Callable[[], int]]]
"""For each call what makes one of ours, and one of the other's; each returns how many keys it was for."""
KEYS, BATCH, TARGET = 1_000, 100, 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--server", choices=["ministack", "dynalite"], default="ministack")
    parser.add_argument("--endpoint", help="a server that is already running")
    parser.add_argument("--region", help="AWS itself; tables are created there, and removed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--replay", action="store_true", help="time the client's side alone: a server answers once")
    parser.add_argument("--waiting", action="store_true", help="which part of the time is the server's")
    parser.add_argument("--uncounted", action="store_true", help="count no accesses")
    add_clock(parser)
    arguments = parser.parse_args()
    print_environment("boto3", "botocore")
    server = None
    endpoint = arguments.endpoint
    if endpoint is None and arguments.region is None:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        from tests.servers import dynamodb
        from tests.servers.processes import temporary_folder

        os.environ.update(dynamodb.CREDENTIALS)
        make = {"ministack": dynamodb.new_ministack, "dynalite": dynamodb.new_dynalite}[arguments.server]
        server = make(temporary_folder("benchmark"))
        server.start()
        endpoint = f"http://127.0.0.1:{server.port}"
    try:
        measure(arguments, endpoint)
    finally:
        if server is not None:
            server.stop()


def measure(arguments: argparse.Namespace, endpoint: str | None) -> None:
    options: dict[str, Any] = {"tracking": "off"} if arguments.uncounted else {"flush_interval": 3_600}
    if arguments.region:
        options["region"] = arguments.region
    if endpoint:
        options["endpoint_url"] = endpoint
    if arguments.server == "dynalite":
        options["transactions"] = False
    names = [f"benchmark_{uuid.uuid4().hex}" for _ in range(2)]
    store = datastore.connect(f"dynamodb://{names[0]}", **options)
    datastore.connect(f"dynamodb://{names[1]}", **options).close()  # a table with the same key
    client = boto3.client("dynamodb", region_name=arguments.region or "eu-west-1", endpoint_url=endpoint)
    try:
        contest(arguments, store, Bare(client, names[1]))
    finally:
        store.close()
        for name in names:
            client.delete_table(TableName=name)


class Replay:
    """Answers each request like the first one of its kind, within the process, so that no server's time counts."""

    def __init__(self, client: Any) -> None:
        self._answers: dict[object, bytes] = {}
        self._asked: object = None
        client.meta.events.register("before-send.dynamodb", self._before_send)
        client.meta.events.register("after-call.dynamodb", self._after_call)

    def _before_send(self, request: Any, **_: Any) -> AWSResponse | None:
        operation = request.headers["X-Amz-Target"]
        self._asked = (operation, request.body) if b"Get" in operation else operation
        answer = self._answers.get(self._asked)
        if answer is None:
            return None
        # The stubs ask for botocore's own class; any mapping will do.
        headers: Any = {**_HEADERS, "x-amz-crc32": str(zlib.crc32(answer))}
        return AWSResponse(request.url, 200, headers, _Raw(answer))

    def _after_call(self, http_response: Any, **_: Any) -> None:
        self._answers.setdefault(self._asked, http_response.content)


class Waiting:
    """Adds up the seconds between sending requests and having their answers."""

    def __init__(self, client: Any) -> None:
        self.seconds = 0.0
        session = client._endpoint.http_session
        self._send = session.send
        session.send = self._timed

    def _timed(self, request: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._send(request)
        finally:
            self.seconds += time.perf_counter() - began

    def milliseconds(self, call: Callable[[], int], times: int) -> tuple[float, float, float]:
        """Return the medians of what a call takes, of what passes in requests, and of what is left."""
        taken = list[tuple[float, float, float]]()
        for _ in range(times):
            began, before = time.perf_counter(), self.seconds
            call()
            whole, waited = time.perf_counter() - began, self.seconds - before
            taken.append((whole, waited, whole - waited))
        whole, waited, rest = (1_000 * statistics.median(column) for column in zip(*taken, strict=True))
        return whole, waited, rest


def waited(store: datastore.DataStore, bare: Bare, rows: Rows) -> None:
    """Print which part of the time of each call is the server's, on both sides."""
    assert isinstance(store.backend, DynamoBackend)
    waits = Waiting(store.backend._connection.client), Waiting(bare.client)
    shown = table(
        "milliseconds a call", "", OURS, "in requests", "beside them", BARE, "in requests", "beside them",
        "in requests, theirs / ours", "beside, theirs / ours",
    )  # fmt: skip
    for name, calls in rows.items():
        (mine, my_waiting, my_rest), (other, their_waiting, their_rest) = (
            wait.milliseconds(call, 30) for wait, call in zip(waits, calls, strict=True)
        )
        numbers = (mine, my_waiting, my_rest, other, their_waiting, their_rest)
        ratios = (their_waiting / my_waiting, their_rest / my_rest)
        shown.add_row(name, *(f"{one:.2f}" for one in (*numbers, *ratios)))
    console.print(shown)


class _Raw:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


_HEADERS = {"Content-Type": "application/x-amz-json-1.0"}


class Bare:
    """What one would write without this package."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self._name = name

    def set(self, key: str, value: Any) -> None:
        self.client.update_item(TableName=self._name, **_update(key, value))

    def set_many(self, items: dict[str, Any]) -> None:
        updates = [{"Update": {"TableName": self._name, **_update(key, value)}} for key, value in items.items()]
        for start in range(0, len(updates), 100):
            self.client.transact_write_items(TransactItems=updates[start : start + 100])

    def get(self, key: str) -> Any:
        answer = self.client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        return json.loads(answer["Item"]["value"]["S"])

    def replace_many(self, items: dict[str, Any]) -> None:
        now = {"S": datetime.now(UTC).isoformat()}
        puts = [
            {
                "PutRequest": {
                    "Item": {
                        **_key(key),
                        "value": {"S": json.dumps(value)},
                        "updatedAt": now,
                        "createdAt": now,
                        "createdByAgent": {"S": "a"},
                        "revision": {"S": uuid.uuid4().hex},
                        "accessCount": {"N": "0"},
                    }
                }
            }
            for key, value in items.items()
        ]
        for start in range(0, len(puts), 25):
            request = {self._name: puts[start : start + 25]}
            while request:
                request = self.client.batch_write_item(RequestItems=request)["UnprocessedItems"]

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        request = {self._name: {"Keys": [_key(key) for key in keys], "ConsistentRead": True}}
        found: dict[str, Any] = {}
        while request:
            answer = self.client.batch_get_item(RequestItems=request)
            for item in answer["Responses"][self._name]:
                found[item["sk"]["S"]] = json.loads(item["value"]["S"])
            request = answer["UnprocessedKeys"]
        return found


def contest(arguments: argparse.Namespace, store: datastore.DataStore, bare: Bare) -> None:
    ours = store.agent("u", "a")
    items = {f"key-{number:05}": sample_value(number) for number in range(KEYS)}
    ours.set_many(items)
    bare.replace_many(items)
    keys = list(items)
    chance = random.Random(1)
    chance.shuffle(keys)

    def singles(call: Callable[[str], object]) -> Callable[[], int]:
        following = itertools.cycle(keys)

        def turn() -> int:
            call(next(following))
            return 1

        return turn

    def batches(call: Callable[[list[str]], object]) -> Callable[[], int]:
        following = itertools.cycle([keys[start : start + BATCH] for start in range(0, KEYS, BATCH)])

        def turn() -> int:
            call(next(following))
            return BATCH

        return turn

    rows: Rows = {
        "set": (singles(lambda key: ours.set(key, items[key])), singles(lambda key: bare.set(key, items[key]))),
        "get": (singles(ours.get), singles(bare.get)),
        "set_many": (
            batches(lambda some: ours.set_many({key: items[key] for key in some})),
            batches(lambda some: bare.set_many({key: items[key] for key in some})),
        ),
        "set_many / replace_many": (
            batches(lambda some: ours.set_many({key: items[key] for key in some})),
            batches(lambda some: bare.replace_many({key: items[key] for key in some})),
        ),
        "get_many": (batches(ours.get_many), batches(bare.get_many)),
    }
    assert ours.get(keys[0]) == bare.get(keys[0])
    if arguments.replay:
        assert isinstance(store.backend, DynamoBackend)
        Replay(store.backend._connection.client)
        Replay(bare.client)
        for key in keys:  # each is asked once
            ours.get(key)
            bare.get(key)
    if arguments.waiting:
        waited(store, bare, rows)
        return
    result = table("keys per second", "call", OURS, BARE, "ratio", "quartiles", f">= {TARGET}")
    for name, (mine, theirs) in rows.items():
        rates = take_turns(
            {OURS: mine, BARE: theirs},
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            settle={OURS: store.flush},
            clock=arguments.clock,
            label=name,
        )
        ratio, (low, high) = rates.ratio(OURS, BARE), rates.spread(OURS, BARE)
        result.add_row(
            name,
            number(rates.median(OURS)),
            number(rates.median(BARE)),
            f"{ratio:.2f}",
            f"{low:.2f}-{high:.2f}",
            verdict(ratio >= TARGET) if "/" not in name else "",
        )
    console.print(result)


def _key(key: str) -> dict[str, Any]:
    return {"pk": {"S": "u"}, "sk": {"S": key}}


def _update(key: str, value: Any) -> dict[str, Any]:
    return {
        "Key": _key(key),
        "UpdateExpression": (
            "SET #value = :value, updatedAt = :now, revision = :revision, "
            "createdAt = if_not_exists(createdAt, :now), createdByAgent = if_not_exists(createdByAgent, :agent), "
            "accessCount = if_not_exists(accessCount, :zero)"
        ),
        "ExpressionAttributeNames": {"#value": "value"},
        "ExpressionAttributeValues": {
            ":value": {"S": json.dumps(value)},
            ":now": {"S": datetime.now(UTC).isoformat()},
            ":revision": {"S": uuid.uuid4().hex},
            ":agent": {"S": "a"},
            ":zero": {"N": "0"},
        },
    }


if __name__ == "__main__":
    main()
