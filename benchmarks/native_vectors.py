"""The recall of a database's own index of vectors, and the time of a search with it, against the exact search.

    python benchmarks/native_vectors.py --url firestore://project/benchmark   # an emulator, or a real project
    python benchmarks/native_vectors.py --url dynamodb://table?...            # ministack, or a real table

A real database bills what this writes and reads. The emulator of Firestore and ministack compare every vector: of the
index of a real database they show neither recall nor time.
"""

from __future__ import annotations

import argparse
import random
import time
import uuid

from measuring import console, number, print_environment, table

import datastore
from datastore import Item


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--queries", type=int, default=20)
    arguments = parser.parse_args()
    chance = random.Random(1)

    def vectors(count: int) -> list[list[float]]:
        return [[chance.gauss(0, 1) for _ in range(arguments.dimensions)] for _ in range(count)]

    print_environment("boto3", "google-cloud-firestore", "numpy")
    with datastore.connect(arguments.url, tracking="off", max_seconds=300) as store:
        memory = store.agent(f"benchmark-{uuid.uuid4().hex}", "a").memory
        memory.add_many(
            [Item(f"k{place}", place) for place in range(arguments.records)], vectors=vectors(arguments.records)
        )
        began = time.perf_counter()
        memory.ensure_index()
        declared = time.perf_counter() - began
        found, exact = list[list[str]](), list[list[str]]()
        times = {"with the index": list[float](), "exact": list[float]()}
        for query in vectors(arguments.queries):
            if memory.explain(query, exact=False)["exact"]:
                raise SystemExit("the index does not answer")
            for name, results in (("with the index", found), ("exact", exact)):
                began = time.perf_counter()
                results.append([match.key for match in memory.search(query, exact=name == "exact")])
                times[name].append(time.perf_counter() - began)
    recall = sum(len(set(some) & set(all)) for some, all in zip(found, exact, strict=True)) / sum(map(len, exact))
    result = table(f"{arguments.records:,} vectors of {arguments.dimensions}, 10 nearest", "search", "ms, median")
    for name, some in times.items():
        result.add_row(name, number(sorted(some)[len(some) // 2] * 1_000))
    console.print(result)
    console.print(f"recall {recall:.3f}; declaring the index took {declared:.1f} s")


if __name__ == "__main__":
    main()
