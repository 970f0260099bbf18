"""PouchDB Server, which speaks CouchDB's HTTP API, behind the proxy that makes it as strict as CouchDB."""

import atexit
import collections
import functools
import http.client
import json
import os
import uuid
from pathlib import Path

import httpx

import datastore
from tests.servers.installing import node_modules
from tests.servers.processes import HOST, Server, temporary_folder
from tests.servers.strict_couchdb import StrictProxy

REMEDY = "apt-get install nodejs npm, or from https://nodejs.org (version 20 or newer); the tests do the rest"
USER, PASSWORD = "admin", "secret"


def new_server(folder: Path, *, persistent: bool = False) -> Server:
    """Return a server with its files in a folder, not started."""
    command = functools.partial(_command, folder, ["--dir", str(folder)] if persistent else ["--in-memory"])
    server = Server("pouchdb-server", command, _ready, folder)
    httpd = {"bind_address": HOST, "port": str(server.port)}
    configuration = {"admins": {USER: PASSWORD}, "httpd": httpd, "log": {"level": "error"}}
    (folder / "config.json").write_text(json.dumps(configuration))
    return server


@functools.cache
def server() -> Server:
    """Return the server of this test session, started."""
    started = new_server(temporary_folder("couchdb"))
    started.start()
    return started


def start() -> None:
    """Install the server if it is not there, and start it with its proxy."""
    proxy()


@functools.cache
def proxy() -> StrictProxy:
    """Return the proxy in front of it, started."""
    started = StrictProxy(server().port, USER, PASSWORD)
    started.start()
    return started


def borrow_database() -> str:
    """Return the name of a database that holds no record, made or still to be made.

    Making one, with its indexes, takes PouchDB Server a fifth of a second, a hundred times as long as emptying one.
    """
    return _empty.pop() if _empty else f"test_{uuid.uuid4().hex}"


def give_back_database(name: str) -> None:
    """Empty a database, for the next test; one that a test has made something else of is not used again.

    Nor is one that has become slow: PouchDB passes by whatever was ever deleted, in each listing, and reads all that it
    knows of a document's revisions with each request for it.
    """
    database, client = f"http://{HOST}:{server().port}/{name}", _client()
    # Without an end PouchDB lists Latin ids only; this is the last one in its order, which is that of UTF-16.
    answer = client.get(f"{database}/_all_docs", params={"endkey": json.dumps("\uffff")})
    if answer.status_code == 404:
        return
    ours, rows, revisions = set(), [], 0
    for row in answer.json()["rows"]:
        if row["id"].startswith("_"):
            ours.add((row["id"], row["value"]["rev"].partition("-")[0]))
        else:
            rows.append(row)
            revisions = max(revisions, int(row["value"]["rev"].partition("-")[0]))
    _deleted[name] += len(rows)
    if _deleted[name] <= 400 and revisions <= 150 and ours == _as_made():
        gone = [{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in rows]
        client.post(f"{database}/_bulk_docs", json={"docs": gone}).raise_for_status()
        _empty.append(name)


@functools.cache
def _as_made() -> set[tuple[str, str]]:
    """Return the design documents of a database that a store has just made, and how often each was written: once."""
    name = f"test_{uuid.uuid4().hex}"
    datastore.connect(url(name)).close()
    database = f"http://{HOST}:{server().port}/{name}"
    rows = _client().get(f"{database}/_all_docs", params={"endkey": json.dumps("\uffff")}).json()["rows"]
    _client().delete(database).raise_for_status()
    return {(row["id"], row["value"]["rev"].partition("-")[0]) for row in rows}


@functools.cache
def _client() -> httpx.Client:
    client = httpx.Client(auth=(USER, PASSWORD), timeout=120, verify=False)
    atexit.register(client.close)  # else the interpreter drops its connection at the end of the run, and warns of it
    return client


_empty: list[str] = []
_deleted: collections.Counter[str] = collections.Counter()
"""How many documents were deleted from databases that were given back."""


def url(database: str, through: StrictProxy | None = None) -> str:
    """Return the store's URL of a database, through the proxy."""
    return f"couchdb://{USER}:{PASSWORD}@{HOST}:{(through or proxy()).port}/{database}"


def remove_design(store: datastore.DataStore, name: str) -> None:
    """Remove a design document under an open store."""
    session = store.backend._session
    design = session.get(f"_design/{name}")
    session.post("_bulk_docs", {"docs": [{"_id": design["_id"], "_rev": design["_rev"], "_deleted": True}]})


def real_url() -> str | None:
    """Return the URL of a real CouchDB, ``couchdb://user:password@host:port``, if the environment names one."""
    return os.environ.get("AGENT_DATASTORE_TEST_COUCHDB_URL")


def _command(folder: Path, storage: list[str], port: int) -> list[str]:
    program = node_modules() / "pouchdb-server" / "bin" / "pouchdb-server"
    return [
        "node",
        "--unhandled-rejections=warn",  # without it several ordinary requests end the process
        # A fifth of its time goes into collecting garbage: less with more room for it, and without helping threads.
        *("--max-semi-space-size=64", "--single-threaded-gc"),
        *("--require", str(Path(__file__).with_name("pouchdb_views.js"))),
        *(str(program), "--port", str(port), "--host", HOST),
        *storage,
        *("--config", str(folder / "config.json")),
    ]


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    finally:
        connection.close()
