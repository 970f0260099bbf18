"""Memory by meaning against others that search by meaning, in one run: each with the same vectors and the same filter.

    python benchmarks/similar_peers.py [--records 1000 10000] [--peers NAME ...] [--rounds 7] [--seconds 0.5]
        [--processor-time]

LangGraph's `InMemoryStore` and `SqliteStore` have an index, whose embedder looks vectors up. chromadb is persistent,
and searches by HNSW: approximately. sqlite-vec is one table of vectors, which it compares one by one, and one of
records. Those that are not installed, or cannot be loaded by this Python, are left out, which is said. All return the
ten nearest; the filter matches 1 % of the records. *Same* is how many of the ten are those of numpy, without the filter
and with it. *Fill* is storing all, and *first two* the first two searches.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import measuring
import numpy as np
from similar import DIMENSIONS, NEAREST, fill

import datastore

TOGETHER = 1_000


class Peer(Protocol):
    """One that is compared."""

    def search(self, query: Any, part: int | None = None) -> list[str]:
        """Return the keys of the ten nearest, of one part of the records if it is given."""

    def add(self, key: str, vector: Any) -> None:
        """Add a record, or write it anew."""


class Ours:
    """This library on SQLite."""

    def __init__(self, folder: Path, vectors: Any) -> None:
        url = f"sqlite:///{folder}/ours.db"
        fill(url, vectors)
        self._memory = datastore.connect(url, max_seconds=600).agent("user", "agent").memory

    def search(self, query: Any, part: int | None = None) -> list[str]:
        return [one.key for one in self._memory.search(query, NEAREST, filter=None if part is None else {"part": part})]

    def add(self, key: str, vector: Any) -> None:
        if not self._memory.edit(key, {"text": key, "part": 0}, vector=vector):
            self._memory.add({"text": key, "part": 0}, key=key, vector=vector)


class LangGraph:
    """A store of LangGraph with an index."""

    def __init__(self, open_store: Callable[[Any], Any], vectors: Any) -> None:
        from langgraph.store.base import PutOp

        self._vectors = {f"k{number:07}": vector for number, vector in enumerate(vectors.tolist())}
        index = {"dims": DIMENSIONS, "embed": self._embed, "fields": ["text"]}
        self._store, operations = open_store(index), []
        for number, key in enumerate(list(self._vectors)):
            operations.append(PutOp(("docs",), key, {"text": key, "part": number % 100}))
        for start in range(0, len(operations), TOGETHER):
            self._store.batch(operations[start : start + TOGETHER])

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        # `SqliteStore` embeds the JSON of the whole value, whichever fields are named.
        return [self._vectors[json.loads(text)["text"] if text[0] == "{" else text] for text in texts]

    def search(self, query: Any, part: int | None = None) -> list[str]:
        self._vectors["query"] = query.tolist()
        filter = None if part is None else {"part": part}
        return [one.key for one in self._store.search(("docs",), query="query", filter=filter, limit=NEAREST)]

    def add(self, key: str, vector: Any) -> None:
        self._vectors[key] = vector.tolist()
        self._store.put(("docs",), key, {"text": key, "part": 0})


def in_memory(_: Path, vectors: Any) -> Peer:
    from langgraph.store.memory import InMemoryStore

    return LangGraph(lambda index: InMemoryStore(index=index), vectors)


def in_sqlite(folder: Path, vectors: Any) -> Peer:
    from langgraph.store.sqlite import SqliteStore

    def opened(index: Any) -> Any:
        connection = sqlite3.connect(folder / "langgraph.db", isolation_level=None, check_same_thread=False)
        store = SqliteStore(connection, index=index)
        store.setup()
        return store

    return LangGraph(opened, vectors)


class Chroma:
    """A persistent collection of chromadb."""

    def __init__(self, folder: Path, vectors: Any) -> None:
        chromadb = import_module("chromadb")
        settings = chromadb.Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(str(folder / "chroma"), settings=settings)
        self._docs = client.create_collection("docs", metadata={"hnsw:space": "cosine"}, embedding_function=None)
        for start in range(0, len(vectors), TOGETHER):
            numbers = range(start, min(start + TOGETHER, len(vectors)))
            self._docs.add(
                ids=[f"k{number:07}" for number in numbers],
                embeddings=vectors[start : start + TOGETHER],
                metadatas=[{"part": number % 100} for number in numbers],
                documents=[f"text {number}" for number in numbers],
            )

    def search(self, query: Any, part: int | None = None) -> list[str]:
        where = None if part is None else {"part": part}
        found = self._docs.query(query_embeddings=[query], n_results=NEAREST, where=where)
        return list(found["ids"][0])

    def add(self, key: str, vector: Any) -> None:
        self._docs.upsert(ids=[key], embeddings=[vector], metadatas=[{"part": 0}], documents=[key])


class SqliteVec:
    """A table of sqlite-vec beside one of records."""

    def __init__(self, folder: Path, vectors: Any) -> None:
        sqlite_vec = import_module("sqlite_vec")
        self._connection = sqlite3.connect(folder / "vec.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.enable_load_extension(True)
        sqlite_vec.load(self._connection)
        table = f"vec0(embedding float[{DIMENSIONS}] distance_metric=cosine, part integer)"
        self._connection.execute(f"CREATE VIRTUAL TABLE vectors USING {table}")
        self._connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, key TEXT UNIQUE, text TEXT)")
        self._connection.execute("BEGIN")
        for number, vector in enumerate(vectors):
            self._write(f"k{number:07}", vector, number % 100)
        self._connection.execute("COMMIT")

    def _write(self, key: str, vector: Any, part: int) -> None:
        execute = self._connection.execute
        (id,) = execute(
            "INSERT INTO records (key, text) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET text = excluded.text "
            "RETURNING id",
            (key, key),
        ).fetchone()
        execute("DELETE FROM vectors WHERE rowid = ?", (id,))
        execute("INSERT INTO vectors (rowid, embedding, part) VALUES (?, ?, ?)", (id, vector.tobytes(), part))

    def search(self, query: Any, part: int | None = None) -> list[str]:
        more = "" if part is None else f" AND part = {part}"
        rows = self._connection.execute(
            f"WITH near AS (SELECT rowid, distance FROM vectors WHERE embedding MATCH ? AND k = {NEAREST}{more}) "
            "SELECT key, text FROM near JOIN records ON id = near.rowid ORDER BY distance",
            (query.tobytes(),),
        )
        return [key for key, _ in rows]

    def add(self, key: str, vector: Any) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._write(key, vector, 0)
        self._connection.execute("COMMIT")


PEERS: dict[str, Callable[[Path, Any], Peer]] = {
    "agent-datastore": Ours,
    "LangGraph InMemoryStore": in_memory,
    "LangGraph SqliteStore": in_sqlite,
    "chromadb": Chroma,
    "sqlite-vec": SqliteVec,
}


def _found(peer: Peer, query: Any, part: int | None = None) -> int:
    return len(peer.search(query, part)) // NEAREST


def _added(peer: Peer, chance: Any) -> int:
    """Write one record with a new vector, and look for it; what does not find it has done nothing."""
    vector = chance.standard_normal(DIMENSIONS).astype(np.float32)
    peer.add("new", vector)
    return int("new" in peer.search(vector))


def measure(number: int, folder: Path, options: argparse.Namespace) -> None:
    """Measure with a number of records, and print."""
    chance = np.random.default_rng(number)
    vectors = chance.standard_normal((number, DIMENSIONS)).astype(np.float32)
    query = chance.standard_normal(DIMENSIONS).astype(np.float32)
    scores = (vectors @ query) / np.linalg.norm(vectors, axis=1)
    exact = {
        part: [place for place in np.argsort(-scores) if part is None or place % 100 == part] for part in (None, 7)
    }
    nearest = {part: {f"k{place:07}" for place in places[:NEAREST]} for part, places in exact.items()}
    contestants, columns = dict[str, Callable[[], int]](), dict[str, list[str]]()
    for name in options.peers:
        began = time.perf_counter()
        try:
            peer = PEERS[name](folder, vectors)
        except (ImportError, AttributeError, sqlite3.Error) as error:
            measuring.console.print(f"{name} is left out: {error}", highlight=False)
            continue
        filled = time.perf_counter() - began
        began = time.perf_counter()
        same = [len(nearest[part] & set(peer.search(query, part))) for part in (None, 7)]
        opening = time.perf_counter() - began
        columns[name] = [f"{filled:.1f}", f"{opening:.2f}", f"{same[0]}, {same[1]}"]

        contestants |= {
            f"{name}: search": partial(_found, peer, query),
            f"{name}: filter": partial(_found, peer, query, 7),
            f"{name}: add": partial(_added, peer, chance),
        }
    rates = measuring.take_turns(
        contestants, rounds=options.rounds, seconds=options.seconds, clock=options.clock, label=f"{number:,} records"
    )
    heads = "fill s", "first two s", "same", "search ms", "with a filter", "add and search"
    result = measuring.table(f"memory by meaning: {number:,} records", "", *heads)
    for name, column in columns.items():
        result.add_row(
            name, *column, *(f"{1e3 / rates.median(f'{name}: {call}'):.2f}" for call in ("search", "filter", "add"))
        )
    measuring.console.print(result)
    measuring.console.print(f"load {os.getloadavg()[0]:.1f}", highlight=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="the length of a turn")
    measuring.add_clock(parser)
    options = parser.parse_args()
    measuring.print_environment()
    for number in options.records:
        with measuring.work_directory() as folder:
            measure(number, folder, options)


if __name__ == "__main__":
    main()
