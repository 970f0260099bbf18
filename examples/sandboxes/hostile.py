"""An agent that tries to get what is not its own. It prints a line of JSON for each thing that it tries.

What it sees is told to the host as it is, and the host looks for what nobody but the other user should see.
"""

from __future__ import annotations

import base64
import gc
import http.client
import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datastore

SOCKET = ""
TOKEN = ""
VICTIM = "alice"
"""Whom it tries to rob; it knows her name, and the names of her namespaces."""
Attempt = Callable[[], object]


# -------------------------------------------------------------------------------------------- speaking to the server


class Line(http.client.HTTPConnection):
    """A connection to the store's socket."""

    def connect(self) -> None:
        """Connect to the socket, whatever the address says."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(
    path: str, body: Any = None, token: str | None = None, headers: dict[str, str] | None = None, method: str = "POST"
) -> str:
    """Send a request by hand, and return the status and the body of the answer."""
    line = Line("localhost", timeout=5)
    sent = {"Content-Type": "application/json", **(headers or {})}
    if "Authorization" not in sent:
        sent["Authorization"] = f"Bearer {TOKEN if token is None else token}"
    try:
        line.request(method, path, body if isinstance(body, bytes) else json.dumps(body).encode(), sent)
        answer = line.getresponse()
        return f"{answer.status} {answer.read(100_000).decode('utf-8', 'replace')}"
    finally:
        line.close()


def get(key: str = "secret", namespace: str = "default", **more: Any) -> dict[str, Any]:
    """Return the body of a request for a value."""
    return {"namespace": namespace, "arguments": {"key": key, **more}}


# ------------------------------------------------------------------------------------------------- through the store


def through_the_store(data_store: Any, cursor: str) -> Iterator[tuple[str, Attempt]]:
    """Yield what can be tried with ``data_store``."""
    names = (
        *(f"../{VICTIM}/default", f"{VICTIM}:default", f"{VICTIM}/default", f"%2e%2e%2f{VICTIM}", "..", "."),
        *("default\x00", f"\x00{VICTIM}", "*", "", "private", "system", "_tokens", "tokens", "leases", "__meta__"),
    )
    for name in names:
        yield f"namespace {name!r}", lambda name=name: data_store.use_namespace(name).get_all()
        yield f"store in namespace {name!r}", lambda name=name: data_store.use_namespace(name).set("mine", "mallory")
    for key in (f"../{VICTIM}/default/secret", f"{VICTIM}:default:secret", "secret", "../../secret", "secret\x00"):
        yield f"key {key!r}", lambda key=key: data_store.get(key)
    yield "list all namespaces", lambda: data_store.list_namespaces()
    yield "find in all namespaces", lambda: [repr(record) for record in data_store.find_in("")]
    yield "read all namespaces", lambda: [repr(record) for record in data_store.iter_records(namespace_prefix="")]
    yield "sizes of all namespaces", lambda: data_store.namespace_stats()
    yield "another user's cursor", lambda: data_store.scan(cursor=cursor)
    yield "another user's cursor in find_records", lambda: data_store.find_records(cursor=cursor)
    yield "another user's data by a filter", lambda: data_store.find({"$userId": VICTIM})
    yield "another user's data by metadata", lambda: data_store.find(meta={"userId": VICTIM})
    yield "more than the quota", lambda: [data_store.set(f"fill/{number}", number) for number in range(200)]
    yield "a value that is too large", lambda: data_store.set("large", "x" * 2_000_000)
    yield "a filter that never ends", lambda: data_store.find({"text": {"$regex": "(a+)+$"}}, limit=1)
    yield "what this process holds", secrets_in_memory


def secrets_in_memory() -> object:
    """Return what lies in this process that would open a database."""
    return [item for item in gc.get_objects() if isinstance(item, str) and item.startswith(("sqlite://", "couchdb://"))]


# ------------------------------------------------------------------------------------------------------ past the store


def past_the_store(cursor: str) -> Iterator[tuple[str, Attempt]]:
    """Yield what can be tried with requests made by hand."""
    others = {
        "no token": "",
        "a guessed token": "dst_" + secrets.token_urlsafe(32),
        "a token cut short": TOKEN[:-1],
        "a longer token": TOKEN + "A",
        "a changed token": TOKEN[:-2] + ("A" if TOKEN[-2] != "A" else "B") + TOKEN[-1],
        "a token in capitals": TOKEN.upper(),
        "a very long token": "dst_" + "A" * 60_000,
        "a token with a quote": "dst_' OR '1'='1",
        "a hash in place of a token": "0" * 64,
        "a pattern in place of a token": "dst_*",
    }
    for name, token in others.items():
        yield name, lambda token=token: ask("/v1/get", get(), token)
    basic = base64.b64encode(f"{VICTIM}:{TOKEN}".encode()).decode()
    for name, headers in {
        "another scheme": {"Authorization": f"Basic {basic}"},
        "a user in a header": {"X-User": VICTIM, "X-Forwarded-User": VICTIM, "X-User-Id": VICTIM},
        "another host": {"Host": "evil.example"},
        "a page in a browser": {"Origin": "https://evil.example"},
        "the token of a proxy": {"Proxy-Authorization": f"Bearer {TOKEN}", "Authorization": ""},
    }.items():
        yield name, lambda headers=headers: ask("/v1/get", get(), headers=headers)
    for path in (
        *("/v1/tokens", "/v1/mint", "/v1/list", "/v1/revoke", "/v1/agent", "/v1/host", "/v1/users", "/v1/export"),
        *(
            "/v1/__init__",
            "/v1/_scope",
            "/v1/use_namespace",
            "/v1/clear/../tokens",
            "/v1/../admin",
            "/v1/get%00",
            "/admin",
        ),
        *(f"/v1/get?user={VICTIM}", f"/v1/{VICTIM}/get", "/..%2f..%2fetc/passwd", "/v1/get/../../../../etc/passwd"),
    ):
        yield f"path {path}", lambda path=path: ask(path, get())
        yield f"look at path {path}", lambda path=path: ask(path, method="GET")
    for name, body in {
        "a user among the arguments": get(user_id=VICTIM),
        "a user in the request": {**get(), "user": VICTIM, "user_id": VICTIM, "userId": VICTIM},
        "an agent in the request": {**get(), "agent": "planner"},
        "a namespace that is a path": get(namespace=f"../{VICTIM}/default"),
        "a namespace that is another user's": get(namespace=f"{VICTIM}:default"),
        "a namespace that is a list": get(namespace=[VICTIM, "default"]),
        "a key that is an object": get(key={"$gt": ""}),
        "another user's cursor by hand": {"namespace": "default", "arguments": {"cursor": cursor}},
    }.items():
        call = "scan" if "cursor" in name else "get"
        yield name, lambda call=call, body=body: ask(f"/v1/{call}", body)
    yield "a body that is no JSON", lambda: ask("/v1/get", b"{'key'")
    yield "a body that is very deep", lambda: ask("/v1/get", b"[" * 500_000)
    yield "a body that is very large", huge_body
    yield "a body that never ends", endless_body
    yield "a length that is not true", lambda: ask("/v1/get", get(), headers={"Content-Length": "5"})
    yield "two requests in one", two_in_one
    yield "many open connections", many_connections


def wider_child() -> object:
    """Try to make a token that may do more than one's own, and return what it opens."""
    told = []
    for grants in ({"*": "write"}, {"private": "write"}, {"default": "write", "private": "read"}, None):
        for path in ("/v1/narrow", "/v1/mint"):
            body = {"namespace": "private", "arguments": {"grants": grants, "namespace": "private"}}
            told.append(ask(path, body))
    children = set(re.findall(r"dst_[\w-]{43}", "".join(told))) - {TOKEN}
    return told, [ask("/v1/get", get(namespace="private"), token=child) for child in children]


def huge_body() -> object:
    """Announce a gigabyte, and send until the server has had enough."""
    return pour(b"Content-Length: 1000000000\r\n", b"x" * 65_536)


def endless_body() -> object:
    """Send a body in chunks, without an end."""
    return pour(b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n")


def pour(header: bytes, piece: bytes) -> str:
    """Send pieces for up to 3 seconds and 100 MB, and return what the server said to that, if anything."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(3)
    line.connect(SOCKET)
    start = f"POST /v1/set HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    sent, end = 0, time.monotonic() + 3
    try:
        line.sendall(start + b"Content-Type: application/json\r\n" + header + b"\r\n")
        while sent < 100_000_000 and time.monotonic() < end:
            line.sendall(piece)
            sent += len(piece)
        return f"the server took {sent:,} bytes"
    except OSError:
        try:
            return line.recv(10_000).decode("utf-8", "replace") or "closed"
        except OSError:
            return "closed"
    finally:
        line.close()


def two_in_one() -> object:
    """Hide a request in the body of another one."""
    hidden = f"POST /v1/get HTTP/1.1\r\nHost: localhost\r\nX-User: {VICTIM}\r\nContent-Length: 0\r\n\r\n".encode()
    headers = {"Content-Length": str(len(hidden)), "Transfer-Encoding": "chunked"}
    return ask("/v1/get", hidden, headers=headers)


def many_connections() -> object:
    """Open connections, say half of something on each, and keep them while the other agent works."""
    lines = []
    try:
        for _ in range(200):
            line = socket.socket(socket.AF_UNIX)
            line.settimeout(1)
            line.connect(SOCKET)
            line.sendall(b"POST /v1/get HTTP/1.1\r\nHost: loc")
            lines.append(line)
    except OSError:
        pass
    time.sleep(0.5)
    opened = len(lines)
    for line in lines:
        line.close()
    return f"opened {opened}"


# ---------------------------------------------------------------------------------------------------- past the process


def past_the_process(places: dict[str, Any]) -> Iterator[tuple[str, Attempt]]:
    """Yield what a process can try that no sandbox holds. A plain process gets some of it."""
    yield "the environment", lambda: dict(os.environ)
    yield (
        "the environment of the server",
        lambda: [
            variable
            for variable in Path(f"/proc/{places['server']}/environ").read_text(errors="replace").split("\0")
            if variable.startswith("DATABASE_")
        ],
    )
    yield "open files", lambda: [path.resolve().as_posix() for path in Path("/proc/self/fd").iterdir()]
    yield (
        "the files of the host",
        lambda: [
            path.read_bytes()[:1_000_000].decode("utf-8", "replace")
            for root in places["directories"]
            for path in Path(root).rglob("*")
            if path.is_file() and readable(path)
        ],
    )
    yield "a service of the host on loopback", lambda: from_loopback(places["port"])


def readable(path: Path) -> bool:
    """Return whether a file can be opened."""
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def from_loopback(port: int) -> str:
    """Return what a port of this machine says."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        return line.recv(1_000).decode("utf-8", "replace")


def main(token_file: str, cursor: str, places: str, socket_directory: str, own: str) -> None:
    """Try everything, and print what came of it."""
    global SOCKET, TOKEN
    SOCKET = str(Path(socket_directory) / "store.sock")
    path = Path(own) / token_file
    TOKEN = path.read_text().strip()  # its own, which it may know; the client removes the file when it reads it
    with datastore.connect(f"http+unix://{SOCKET}", token_file=path) as data_store:
        for kind, attempts in (
            ("store", through_the_store(data_store, cursor)),
            ("server", past_the_store(cursor)),
            ("server", iter([("a token that may do more", wider_child)])),
            ("system", past_the_process(json.loads(places))),
        ):
            for name, attempt in attempts:
                try:
                    told = {"got": repr(attempt())[:2_000_000]}
                except Exception as error:  # noqa: BLE001 - whatever stops it
                    told = {"stopped_by": type(error).__name__, "said": str(error)}
                print(json.dumps({"kind": kind, "tried": name, **told}), flush=True)
    print(json.dumps({"kind": "end", "token_file_is_there": path.exists()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
