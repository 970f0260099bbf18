"""What the hop costs: calls through `datastore serve` over a Unix socket, and the same calls in this process.

    python benchmarks/server.py
    python benchmarks/server.py --rounds 21 --seconds 2
    python benchmarks/server.py --against ../older      # the server of another checkout takes turns with this one's

SQLite, values of about 500 bytes. The server is a process of its own. With one client, blocks of calls through the
server and blocks of direct calls take turns; a number is the median of the blocks' p50 (or p99), with its quartiles.
With 16 clients, each is a process with a connection of its own, and all call as fast as they can; the numbers are calls
a second of all together, and the p50 and p99 of one call. The clients, the server and the database share the cores of
this machine.

The client is `datastore.connect("http+unix://...")`, and beside it a bare `http.client`, which checks nothing and only
parses the answer: the difference is what the client itself takes.

A machine that is busy makes everything slower. So the processor time of the server for each call is printed as well
(all its threads, the writing of access counts included), and beside other clients a get is compared with an echo: one
process that answers 700 bytes to another one, without any server of ours, at the same time. What the echo loses is the
machine's part; what a get loses beyond that is the server's.

Targets: p50 of a get below 0.5 ms with one client, 3,000 gets a second with 16 clients on 2 cores, and beside hostile
clients a get takes at most twice as long as the machine makes it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from measuring import console, print_environment, sample_value, table, verdict, work_directory

sys.path.insert(0, str(Path(__file__).parent.parent))

import datastore

CLIENTS = 16
RECORDS = 1_000
BLOCK = 200  # calls in a row with one client
TARGET_P50 = 0.5e-3
TARGET_RATE = 3_000
TARGET_SLOWER = 2
ECHOED = b"x" * 700
BARE, DIRECT, OURS = "http.client", "direct", "ours"


class Bare:
    """Says what a client says, by hand."""

    def __init__(self, path: str, token: str) -> None:
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.connect(path)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        self._connection.request("POST", f"/v1/{name}", json.dumps({"arguments": arguments}), self._headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        return answer["result"]

    def get(self, key: str) -> Any:
        return self._call("get", {"key": key})["value"]

    def set(self, key: str, value: Any) -> Any:
        return self._call("set", {"key": key, "value": value})

    def find(self, filter: Any) -> None:
        body = json.dumps({"arguments": {"filter": filter, "limit": 1}})
        self._connection.request("POST", "/v1/find", body, self._headers)
        self._connection.getresponse().read()


def client_of(kind: str, path: str, token: str) -> Any:
    return Bare(path, token) if kind == BARE else datastore.connect(f"http+unix://{path}", token=token)


def has_client() -> bool:
    try:
        import datastore.remote  # noqa: F401 - whether it is there
    except ImportError:
        return False
    return True


def calls_of(data_store: Any, value: Any) -> dict[str, Callable[[str], Any]]:
    return {"get": data_store.get, "set": lambda key: data_store.set(key, value)}


def block(call: Callable[[str], Any], keys: list[str]) -> list[float]:
    """Return how long each of some calls took."""
    times = []
    for key in keys:
        began = time.perf_counter()
        call(key)
        times.append(time.perf_counter() - began)
    return times


def percentile(times: list[float], part: float) -> float:
    return sorted(times)[min(int(len(times) * part), len(times) - 1)]


def work(kind: str, path: str, token: str, name: str, barrier: Any, seconds: float, rounds: int, results: Any) -> None:
    """One of many clients: call as fast as possible, once for each round."""
    call = calls_of(client_of(kind, path, token), sample_value(0))[name]
    keys = [f"key-{number:04}" for number in range(RECORDS)]
    at = os.getpid()
    for _ in range(rounds):
        barrier.wait()
        until = time.perf_counter() + seconds
        times = list[float]()
        while (now := time.perf_counter()) < until:
            call(keys[at % RECORDS])
            at += 7
            times.append(time.perf_counter() - now)
        results.put((len(times) / seconds, percentile(times, 0.5), percentile(times, 0.99)))
        barrier.wait()


def crowd(kind: str, path: str, tokens: list[str], name: str, seconds: float, rounds: int) -> list[tuple[float, ...]]:
    """Return for each round the calls a second of all clients, and the median of their p50 and p99."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(tokens) + 1), context.Queue()
    workers = [
        context.Process(target=work, args=(kind, path, token, name, barrier, seconds, rounds, results), daemon=True)
        for token in tokens
    ]
    for worker in workers:
        worker.start()
    measured = list[tuple[float, ...]]()
    for _ in range(rounds):
        barrier.wait(60)
        found = [results.get(timeout=60 + seconds) for _ in tokens]
        rate = sum(one[0] for one in found)
        measured.append((rate, statistics.median(one[1] for one in found), statistics.median(one[2] for one in found)))
        barrier.wait(60)
    for worker in workers:
        worker.join(60)
    return measured


def disturb(path: str, token: str, burns: bool, begun: Any, ended: Any) -> None:
    """Call as fast as possible, until it is enough: a get, or a find that looks at every record with an expression."""
    client = Bare(path, token)
    begun.set()
    while not ended.is_set():
        if burns:
            client.find({"text": {"$regex": "(q|u|e|s|t|i|o|n| )+z$"}})
        else:
            client.get("key-0000")


def echo(path: str, ready: Any) -> None:
    """Answer whatever comes on one connection, as the least that any server does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        ready.set()
        connection, _ = listener.accept()
        while connection.recv(65_536):
            connection.sendall(ECHOED)


def processor_time(process: int) -> float:
    """Return the seconds of processor time that all threads of a process have taken; Linux counts nanoseconds."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in threads) / 1e9


def beside(
    path: str, own: str, others: list[str], burns: bool, keys: list[str], echoed: Callable[[str], Any]
) -> tuple[list[float], list[float]]:
    """Return how long the gets of one client take beside some clients with another token, and echoes meanwhile."""
    context = multiprocessing.get_context("spawn")
    ended, begun = context.Event(), [context.Event() for _ in others]
    workers = [
        context.Process(target=disturb, args=(path, token, burns, one, ended), daemon=True)
        for token, one in zip(others, begun, strict=True)
    ]
    for worker in workers:
        worker.start()
    for one in begun:
        one.wait(60)
    gets, echoes, get = list[float](), list[float](), Bare(path, own).get
    try:
        for start in range(0, len(keys), 20):
            gets += block(get, keys[start : start + 20])
            echoes += block(echoed, keys[start : start + 20])
        return gets, echoes
    finally:
        ended.set()
        for worker in workers:
            worker.join(60)


def spread(numbers: list[float], scale: float = 1.0) -> str:
    """Return a median with its quartiles."""
    low, middle, high = statistics.quantiles(numbers, n=4)
    return f"{middle * scale:,.3g} ({low * scale:,.3g} to {high * scale:,.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round with many clients")
    parser.add_argument("--against", type=Path, help="another checkout, whose server takes turns with this one's")
    arguments = parser.parse_args()
    print_environment()
    console.print(f"load: {os.getloadavg()[0]:.1f}, cores: {os.cpu_count()}")
    with work_directory() as directory:
        url, here = f"sqlite:///{directory}/agents.db", Path(__file__).parent.parent
        with datastore.connect(url) as store:
            data_store = store.agent("ann", "bench")
            data_store.set_many({f"key-{number:04}": sample_value(number) for number in range(RECORDS)})
            tokens = [store.tokens.mint("ann", "bench", label=f"{number}") for number in range(CLIENTS)]
            with ExitStack() as stack:
                server = stack.enter_context(serving(here, url, f"{directory}/s.sock"))
                if arguments.against is not None:
                    other = stack.enter_context(serving(arguments.against, url, f"{directory}/other.sock"))
                    compare({"this": server, "other": other}, tokens[0], arguments.rounds)
                measure(data_store, server.path, tokens, arguments.rounds, arguments.seconds)


class Server(NamedTuple):
    """A server that listens."""

    path: str
    process: int


@contextmanager
def serving(checkout: Path, url: str, path: str) -> Iterator[Server]:
    """Run the server of a checkout while the context lasts."""
    places = os.pathsep.join(str(one.resolve()) for one in (checkout, checkout / "backends"))
    command = [sys.executable, "-m", "datastore", "serve", url, "--uds", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": places}) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()  # it says where it listens
            yield Server(path, server.pid)
        finally:
            server.terminate()
            server.wait(60)


def compare(servers: dict[str, Server], token: str, rounds: int) -> None:
    """Let two servers take turns with one client of ours, and print what the first takes of the other's time."""
    ways = {name: client_of(OURS, server.path, token) for name, server in servers.items()}
    keys = [f"key-{number:04}" for number in range(0, RECORDS, RECORDS // BLOCK)]
    shown = table("This server and the other one in turns", "call", "what", *servers, "this / other")
    for call in ("get", "set"):
        found = dict[str, list[tuple[float, float]]]()
        for number in range(rounds + 1):
            for name in list(servers)[:: 1 if number % 2 else -1]:
                before = processor_time(servers[name].process)
                times = block(calls_of(ways[name], sample_value(0))[call], keys)
                spent = (processor_time(servers[name].process) - before) / len(keys)
                if number:
                    found.setdefault(name, []).append((percentile(times, 0.5), spent))
        for place, what in enumerate(("p50, ms", "server's processor time, ms")):
            each = {name: [one[place] for one in found[name]] for name in servers}
            ratios = [mine / theirs for mine, theirs in zip(*each.values(), strict=True)]
            shown.add_row(call, what, *(spread(numbers, 1e3) for numbers in each.values()), spread(ratios))
    console.print(shown)


def measure(data_store: Any, path: str, tokens: list[str], rounds: int, seconds: float) -> None:
    kinds = [BARE, OURS] if has_client() else [BARE]
    ways = {DIRECT: data_store, **{kind: client_of(kind, path, tokens[0]) for kind in kinds}}
    keys = [f"key-{number:04}" for number in range(0, RECORDS, RECORDS // BLOCK)]
    one = dict[tuple[str, str], list[list[float]]]()
    for number in range(rounds + 1):
        for way, bound in ways.items():
            for name, call in calls_of(bound, sample_value(0)).items():
                times = block(call, keys)
                if number:  # the first is for warming up
                    one.setdefault((name, way), []).append(times)
    shown = table("One client: milliseconds for a call", "call", "way", "p50", "p99")
    for (name, way), blocks in sorted(one.items()):
        parts = [spread([percentile(times, part) for times in blocks], 1e3) for part in (0.5, 0.99)]
        shown.add_row(name, way, *parts)
    console.print(shown)
    shown = table(f"{CLIENTS} clients: milliseconds for a call", "call", "client", "calls/s of all", "p50", "p99")
    rates = dict[tuple[str, str], float]()
    for name in ("get", "set"):
        for kind in kinds:
            found = crowd(kind, path, tokens, name, seconds, max(rounds // 2, 3))
            rate, p50, p99 = zip(*found, strict=True)
            rates[name, kind] = statistics.median(rate)
            shown.add_row(name, kind, spread([*rate]), spread([*p50], 1e3), spread([*p99], 1e3))
    console.print(shown)
    slower = beside_others(path, tokens, keys, max(rounds // 2, 3))
    best = kinds[-1]
    hop = statistics.median(percentile(times, 0.5) for times in one["get", best])
    console.print(f"p50 of a get with one client ({best}) below {TARGET_P50 * 1e3} ms: {verdict(hop < TARGET_P50)}")
    met = verdict(rates["get", best] >= TARGET_RATE)
    console.print(f"{TARGET_RATE:,} gets a second with {CLIENTS} clients ({best}): {met}")
    worst = max(slower.values())
    console.print(f"a get beside others takes at most {TARGET_SLOWER}x what the machine makes of it: "
                  f"{worst:.2g} {verdict(worst <= TARGET_SLOWER)}")  # fmt: skip
    console.print(f"load: {os.getloadavg()[0]:.1f}")


def beside_others(path: str, tokens: list[str], keys: list[str], rounds: int) -> dict[str, float]:
    """Print how long gets take beside other clients, and return how many times what the machine makes of them."""
    context, where = multiprocessing.get_context("spawn"), f"{path}.echo"
    ready = context.Event()
    process = context.Process(target=echo, args=(where, ready), daemon=True)
    process.start()
    ready.wait(60)
    shown = table(
        "Gets of one client beside others with another token: milliseconds, and times as long as beside nobody",
        "others", "p50", "p99", "an echo's p50", "slower", "an echo", "the server's part",
    )  # fmt: skip
    slower, alone = dict[str, float](), (0.0, 0.0)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(where)

        def echoed(key: str) -> None:
            connection.sendall(b"x" * 300)
            left = len(ECHOED)
            while left:
                left -= len(connection.recv(left))

        for name, number, burns in (("nobody", 0, False), ("16 that get", 16, False), ("4 that burn", 4, True)):
            heard = [beside(path, tokens[0], tokens[1:2] * number, burns, keys, echoed) for _ in range(rounds)]
            gets, echoes = zip(*heard, strict=True)
            middles = [statistics.median(percentile(times, 0.5) for times in some) for some in (gets, echoes)]
            if not number:
                alone = middles[0], middles[1]
            ratio, machine = middles[0] / alone[0], middles[1] / alone[1]
            slower[name] = ratio / machine
            parts = [spread([percentile(times, part) for times in gets], 1e3) for part in (0.5, 0.99)]
            shown.add_row(
                name, *parts, f"{middles[1] * 1e3:.2g}", f"{ratio:.2g}", f"{machine:.2g}", f"{slower[name]:.2g}"
            )
    process.join(60)
    console.print(shown)
    return slower


if __name__ == "__main__":
    main()
