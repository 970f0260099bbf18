"""A host that runs the agents of two users in sandboxes. One of them tries everything, and gets nothing.

Run it as ``python examples/sandboxes/host.py``; ``--plain`` starts the agents as plain processes, which is what happens
anyway where there is no bubblewrap. It ends with 1 if anything was got that should not be.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import sandbox

import datastore

CANARY = f"canary-{secrets.token_hex(16)}"
"""Stands wherever the hostile agent must not look. If it tells it to us, it has looked there."""
PATIENCE = 200
"""Seconds: a process that has not come to its end by then hangs. A busy machine takes a minute to start one."""


@dataclass
class Report:
    """What came of a run.

    Attributes:
        sandboxed: Whether the agents ran in sandboxes, and not in plain processes.
        tried: What the hostile agent has tried, as it tells it.
        got: What it got that it should not.
        open: What it got because there was no sandbox around it, only a process.
        damage: What is not in the store as it should be.
        rounds: How many rounds of work the other agent did meanwhile.
        failures: What failed in these.
        slowest: How many seconds the slowest of them took.
    """

    sandboxed: bool
    tried: list[dict[str, str]] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    rounds: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Whether the hostile agent got nothing and broke nothing, and the other one went on working."""
        return bool(self.tried and self.rounds) and not (self.got or self.damage or self.failures)


def run(*, plain: bool = False) -> Report:
    """Start everything, let the agents do what they do, and look what came of it."""
    with TemporaryDirectory(prefix="sandboxes-") as directory, ExitStack() as running:
        here = Path(directory)
        for name in ("host", "run", "alice", "mallory"):
            (here / name).mkdir(mode=0o700)
        url = f"sqlite:///{here}/host/store.db"
        (here / "host" / "credentials").write_text(f"password={CANARY}\n")
        store = running.enter_context(datastore.connect(url))
        fill(store)
        server = running.enter_context(serving(url, here / "run" / "store.sock"))
        port = running.enter_context(listening())

        # Alice's agent gets its token through a pipe: it is nowhere in the file system.
        reading, writing = os.pipe()
        os.write(writing, store.tokens.mint("alice", "planner", ttl=600, label="alice's planner").encode())
        os.close(writing)
        start = {"socket": here / "run", "plain": plain}
        alice = running.enter_context(
            ending(sandbox.start("agent.py", str(reading), own=here / "alice", descriptors=(reading,), **start))
        )
        os.close(reading)

        # Mallory's gets it in a file that only it can read, and that is gone when it has been read.
        grants, quota = {"default": "write"}, datastore.Quota(records=100, bytes=1_000_000)
        token = store.tokens.mint("mallory", "helper", grants=grants, quota=quota, ttl=600, label="mallory's helper")
        with os.fdopen(os.open(here / "mallory" / "token", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(token)
        cursor = store.agent("alice", "planner").scan(limit=1).cursor or ""

        report = Report(sandboxed=not plain and sandbox.bubblewrap() is not None)
        first_line(alice)
        places = {"server": server.pid, "port": port, "directories": [f"{here}/host", f"{here}/alice"]}
        mallory = running.enter_context(
            ending(sandbox.start("hostile.py", "token", cursor, json.dumps(places), own=here / "mallory", **start))
        )
        told, errors = mallory.communicate(timeout=PATIENCE)
        lines = [json.loads(line) for line in told.splitlines()]
        if not lines or lines[-1]["kind"] != "end":
            raise RuntimeError(f"the hostile agent did not come to its end: {errors or told[-2_000:]}")

        told, errors = alice.communicate(timeout=PATIENCE)  # its input ends, so it ends
        if alice.returncode != 0:
            raise RuntimeError(f"alice's agent failed: {errors}")
        work = json.loads(told.splitlines()[-1])
        report.rounds, report.failures, report.slowest = work["rounds"], work["failures"], work["slowest"]
        judge(report, lines)
        look(report, store)
        if server.poll() is not None:
            report.damage.append("the server has ended")
        return report


def fill(store: datastore.DataStore) -> None:
    """Store what the agents have, and what one of them must not see."""
    alice = store.agent("alice", "planner")
    for place in (alice, alice.use_namespace("private"), store.agent("mallory", "other", "private")):
        place.set("secret", CANARY, {"note": CANARY})
    alice.set_many({f"plan/{number}": f"{CANARY} {number}" for number in range(20)})
    store.agent("mallory", "helper").set("text", {"text": "a" * 5_000 + "!"})


@contextmanager
def serving(url: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the store on a Unix socket, in a process that has the database and a password."""
    server = subprocess.Popen(
        [sys.executable, "-m", "datastore", "serve", url, "--uds", str(path)],
        env={**os.environ, "DATABASE_PASSWORD": CANARY},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with ending(server):
        end = time.monotonic() + PATIENCE
        while not answers(path):
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                raise RuntimeError(f"the server did not start: {server.communicate()[1].decode()}")
            time.sleep(0.02)
        threading.Thread(target=server.stderr.read, daemon=True).start()  # type: ignore[union-attr]  # it is a pipe
        yield server


def answers(path: Path) -> bool:
    """Return whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(str(path)) == 0


@contextmanager
def listening() -> Iterator[int]:
    """Be a service of the host on loopback that tells everybody its secret, and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as service:

        def serve() -> None:
            while True:
                try:
                    line, _ = service.accept()
                except OSError:
                    return
                with line:
                    line.sendall(CANARY.encode())

        threading.Thread(target=serve, daemon=True).start()
        yield service.getsockname()[1]
        service.shutdown(socket.SHUT_RDWR)


@contextmanager
def ending(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Use a process, and see to it that it ends."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that a process prints."""
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"it did not start: {process.communicate()[1]}")
    return line


def judge(report: Report, lines: list[dict]) -> None:
    """Look in everything that the hostile agent has seen for what it must not see."""
    *report.tried, end = lines
    if end["token_file_is_there"]:
        report.got.append("the file with its token is still there")
    for line in report.tried:
        if CANARY in json.dumps(line):
            is_of_the_system = line["kind"] == "system" and not report.sandboxed
            (report.open if is_of_the_system else report.got).append(line["tried"])


def look(report: Report, store: datastore.DataStore) -> None:
    """Look in the store for what the hostile agent may have done there."""
    alice, mallory = store.host("alice"), store.host("mallory")
    if alice.get("secret") != CANARY or alice.use_namespace("private").get("secret") != CANARY:
        report.damage.append("alice's secret was changed")
    if alice.get("rounds") != report.rounds:
        report.damage.append(f"alice counted {report.rounds} rounds, and the store {alice.get('rounds')}")
    if set(alice.list_namespaces()) != {"default", "private"}:
        report.damage.append(f"alice has namespaces {alice.list_namespaces()}")
    agents = {record.created_by_agent for record in alice.iter_records(namespace_prefix="")}
    if agents != {"planner"}:
        report.damage.append(f"alice has records of {agents}")
    if set(mallory.list_namespaces()) != {"default", "private"}:
        report.damage.append(f"mallory has namespaces {mallory.list_namespaces()}")
    if mallory.count() > 100:
        report.damage.append(f"mallory has {mallory.count()} records")


def show(report: Report) -> None:
    """Print what came of it."""
    print("in sandboxes (bubblewrap)" if report.sandboxed else "in plain processes: there is no wall around these")
    for line in report.tried:
        came = "GOT IT" if line["tried"] in report.got else "open" if line["tried"] in report.open else "nothing"
        how = line.get("stopped_by") or line["got"]
        print(f"  {came:8}{line['tried'][:44]:46}{' '.join(how.split())[:60]}")
    print(f"the other agent did {report.rounds} rounds; the slowest took {report.slowest} s")
    for name, what in (("got", report.got), ("damage", report.damage), ("failures", report.failures)):
        print(f"{name}: {', '.join(what) or 'nothing'}")
    if report.open:
        print(f"open, because a process is no sandbox: {', '.join(report.open)}")


if __name__ == "__main__":
    found = run(plain="--plain" in sys.argv[1:])
    show(found)
    sys.exit(0 if found.is_sound else 1)
