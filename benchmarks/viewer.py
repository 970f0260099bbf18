"""The pages of the viewer on SQLite with a million records in ten thousand namespaces: time, documents, weight.

    python benchmarks/viewer.py [--records 1000000] [--namespaces 10000] [--rounds 21]

Each page is asked of the application itself, in one process, by a client that has logged in; nothing of a network is in
its time. The weight is that of the page with its script and style, as a browser loads them the first time.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import time
from typing import Any
from urllib.parse import urlencode

import measuring
from starlette.testclient import TestClient

import datastore
from datastore.viewer import create_app

MILLISECONDS, KILOBYTES = 200.0, 150.0
"""What a page may take, and weigh."""
_AT_ONCE = 10_000


def fill(store: datastore.DataStore, records: int, namespaces: int) -> None:
    """Store the records, of one user."""
    each, data_store = records // namespaces, store.agent("ann", "importer")
    items = list[datastore.Item]()
    for number in range(namespaces):
        name = f"space-{number:05}"
        items += [datastore.Item(f"key-{n:04}", measuring.sample_value(n), namespace=name) for n in range(each)]
        if len(items) >= _AT_ONCE:
            data_store.set_many(items)
            items.clear()
    data_store.set_many(items)


def pages(namespaces: int) -> dict[str, str]:
    """Return the addresses of the pages, by their names."""
    middle = f"space-{namespaces // 2:05}"
    at = {"user": "ann", "namespace": middle}
    return {
        "users": "/",
        "namespaces": "/user?user=ann",
        "namespaces, in the middle": "/user?" + urlencode({"user": "ann", "after": middle}),
        "namespaces, last first": "/user?user=ann&order=-",
        "namespaces, with sizes": "/user?user=ann&sizes=1",
        "records": "/records?" + urlencode(at),
        "records, last first": "/records?" + urlencode({**at, "order": "-key"}),
        "one record": "/record?" + urlencode({**at, "key": "key-0007"}),
        "users, filtered": "/?prefix=a",
        "words": "/search?" + urlencode({"user": "ann", "q": "nowhere", "prefix": middle[:-1]}),
        "pictures of a namespace": "/pictures?" + urlencode(at),
        "pictures of a user": "/pictures?user=ann",
    }


def measured(client: TestClient, path: str, rounds: int) -> tuple[list[float], list[float], float]:
    """Return how many milliseconds a page took each time, and the processor for it; and its weight in kilobytes."""
    took, worked = list[float](), list[float]()
    for _ in range(rounds):
        began, at_work = time.perf_counter(), time.process_time()
        answer = client.get(path)
        took.append((time.perf_counter() - began) * 1_000)
        worked.append((time.process_time() - at_work) * 1_000)
        assert answer.status_code == 200, answer.text
    loaded = [client.get(name).content for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)]
    return took, worked, (len(answer.content) + sum(map(len, loaded))) / 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    measuring.print_environment()
    rows = list[Any]()
    with measuring.work_directory() as folder:
        url = f"sqlite:///{folder}/agents.db"
        with datastore.connect(url) as store:
            fill(store, options.records, options.namespaces)
        for name, path in pages(options.namespaces).items():
            with datastore.connect(url, tracking="off") as store:  # so the first time is that of a store just opened
                app = create_app(store)
                client = TestClient(app, base_url="http://localhost")
                client.get(app.login_path(), follow_redirects=False)
                took, worked, weight = measured(client, path, options.rounds)
            rows.append((name, took[0], worked[0], statistics.median(took), weight))
    result = measuring.table(
        f"the viewer: {options.records:,} records in {options.namespaces:,} namespaces",
        "",
        "first, ms",
        "of processor",
        "median, ms",
        "weight, KB",
        "targets",
        "",
    )
    for name, first, processor, median, weight in rows:
        reached = first < MILLISECONDS and weight < KILOBYTES
        targets = f"{MILLISECONDS:.0f} ms, {KILOBYTES:.0f} KB"
        result.add_row(
            name,
            f"{first:.1f}",
            f"{processor:.1f}",
            f"{median:.1f}",
            f"{weight:.0f}",
            targets,
            measuring.verdict(reached),
        )
    measuring.console.print(result)
    measuring.console.print(f"load at the end {os.getloadavg()[0]:.1f}", highlight=False)


if __name__ == "__main__":
    main()
