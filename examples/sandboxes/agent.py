"""An agent that works: it counts, keeps a journal and looks for what it needs, until its input ends."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import datastore


def main(descriptor: str, socket: str, own: str) -> None:
    """Work, and print a line of JSON: how many rounds, what failed, and how long the slowest round took."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    rounds, failures, slowest = 0, [], 0.0
    # The token came as an open file, which is read to its end and closed.
    with datastore.connect(f"http+unix://{Path(socket) / 'store.sock'}", token_fd=int(descriptor)) as data_store:
        print(json.dumps({"ready": True}), flush=True)
        while not stop.is_set():
            began = time.perf_counter()
            try:
                rounds = data_store.increment("rounds")
                data_store.set(f"journal/{rounds % 50:02}", {"round": rounds, "note": "all is well"})
                data_store.find({"round": {"$gte": rounds - 3}}, prefix="journal/", limit=3)
            except datastore.DataStoreError as error:
                failures.append(str(error))
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.01)
    print(json.dumps({"rounds": rounds, "failures": failures, "slowest": round(slowest, 3)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
