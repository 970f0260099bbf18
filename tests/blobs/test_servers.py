"""Large blobs on each server: in flat memory, in the stated requests, and after a process was killed in the middle."""

import json
import os
import subprocess
import sys
import time
import uuid

import pytest
from typer.testing import CliRunner

import datastore
from datastore.agent import AgentDataStore
from datastore.blobs.heads import PART, TOGETHER
from datastore.blobs.uploads import UPLOAD
from datastore.cli.app import app
from datastore.scope import scope_of
from tests.blobs.test_kills import HEAD, NEW, OLD, WRITES, is_same, killed_at
from tests.full import FULL
from tests.servers import couchdb, dynamodb, firestore, postgresql, redis

MB = 1_000_000
SIZE = 50 * MB
MEMORY = 12 * MB
"""What a put and a read of it may need: a few requests of 2 MiB, as text and as bytes, and what the client keeps."""

SERVERS = {
    "couchdb": lambda: couchdb.url(f"test_{uuid.uuid4().hex}"),
    "dynamodb": dynamodb.MINISTACK.url,
    "dynamodb-dynalite": dynamodb.DYNALITE.url,
    "firestore": lambda: (
        f"firestore://test-{uuid.uuid4().hex}/agent_data_store?emulator=127.0.0.1:{firestore.server().port}"
    ),
    "postgresql": postgresql.borrow,
    "redis": redis.borrow,
}
BORROWED = {"postgresql": postgresql, "redis": redis}

LARGE = """
import json, random, resource, sys
from hashlib import sha256
import datastore

url, size, chunk = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
requests, options = [0], {}

def counted(send):
    def sent(*args, **kwargs):
        requests[0] += 1
        return send(*args, **kwargs)
    return sent

if url.startswith("couchdb:"):
    import httpx
    httpx.HTTPTransport.handle_request = counted(httpx.HTTPTransport.handle_request)
elif url.startswith("dynamodb:"):
    from botocore.httpsession import URLLib3Session
    URLLib3Session.send = counted(URLLib3Session.send)
elif url.startswith("postgresql:"):
    from datastore_postgresql.client import Connection
    Connection.wait = counted(Connection.wait)
elif url.startswith("redis:"):
    from redis import Connection
    Connection.send_packed_command = counted(Connection.send_packed_command)
else:
    import grpc
    class Counts(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
        def intercept_unary_unary(self, proceed, details, request):
            return counted(proceed)(details, request)
        intercept_unary_stream = intercept_unary_unary
    options["interceptors"] = [Counts()]

def pieces(size):
    chance, made = random.Random(1), 0
    while made < size:
        piece = chance.randbytes(min(100_000, size - made))
        made += len(piece)
        put.update(piece)
        yield piece

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def asked(call):
    before = requests[0]
    result = call()
    return result, requests[0] - before

def read():
    whole = sha256()
    with blobs.open("large") as file:
        while piece := file.read(chunk):
            whole.update(piece)
    return whole.hexdigest()

with datastore.connect(url, **options) as store:
    blobs = store.agent("ann", "writer").blobs
    put = sha256()
    blobs.put("small", pieces(2 * chunk))
    with blobs.open("small") as file:
        file.read(chunk)
    put, before = sha256(), peak()
    blob, putting = asked(lambda: blobs.put("large", pieces(size)))
    found, reading = asked(read)
    print(json.dumps({
        "same": [put.hexdigest() == found == blob.sha256, blob.size == size],
        "grown": peak() - before, "putting": putting, "reading": reading,
    }))
"""
"""Puts a large blob and reads it, both in pieces, and says what that took."""


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.server(name)) for name in SERVERS])
def url(request):
    yield SERVERS[request.param]()
    if request.param in BORROWED:
        BORROWED[request.param].give_back()


def test_a_large_blob_takes_flat_memory_and_the_stated_requests(url) -> None:
    arguments = [sys.executable, "-c", LARGE, url, str(SIZE), str(TOGETHER * PART)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(arguments, stdout=subprocess.PIPE, env=environment, check=True)
    told = json.loads(process.stdout)
    parts = -(-SIZE // PART)
    groups = -(-parts // TOGETHER)
    assert told["same"] == [True, True]
    if "transactions=false" in url:  # each part is written alone; and dynalite hands over 1 MB in one answer
        assert told["putting"] == 4 + parts
        assert told["reading"] <= 1 + 2 * groups
    else:
        assert (told["putting"], told["reading"]) == (4 + groups, 1 + groups)
    assert told["grown"] < MEMORY


@pytest.mark.parametrize("at", range(1, WRITES) if FULL else [2])
def test_a_put_that_was_killed_leaves_the_old_blob_and_what_doctor_shows_and_a_purge_removes(url, at) -> None:
    """All of it was put two days ago, so that the time of an interrupted put is over by now."""
    with datastore.connect(url, clock=lambda: time.time() - 2 * UPLOAD) as store:
        store.agent("ann", "writer").blobs.put("blob", OLD)
    assert killed_at(url, at, "after", ago=2 * UPLOAD) == b"now\n"
    with datastore.connect(url) as store:
        blobs = store.agent("ann", "reader").blobs
        expected = NEW if at >= HEAD else OLD
        assert is_same(blobs.get("blob"), expected)
        assert "1 version of blobs can be removed" in findings(url)
        assert CliRunner().invoke(app, ["purge", "--url", url]).exit_code == 0
        assert is_same(blobs.get("blob"), expected)
        kinds = [key.partition("/")[0] for key in AgentDataStore(scope_of(blobs)).list_keys()]
        assert kinds == ["data"] * -(-len(expected) // PART) + ["head"]
        assert "0 versions of blobs can be removed" in findings(url)


def findings(url):
    """Return what the command says of a store, line by line."""
    result = CliRunner().invoke(app, ["doctor", "--records", "--json", url])
    return [finding["text"] for finding in json.loads(result.stdout)["findings"]]
