"""The server itself, past the proxy and the store."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from contextlib import contextmanager

from datastore.ids import encode_id


def proxy_request(proxy, method, target):
    """Ask the server behind the proxy for something, as its administrator."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.upstream)
    connection.request(method, target, headers={"Authorization": proxy.credentials})
    assert connection.getresponse().status in (200, 201)
    connection.close()


def legacy(user, namespace, key, value):
    """A document as the platform wrote it that this store was specified after."""
    return {
        "_id": f"{user}:{namespace}:{b64encode(key.encode()).decode()}",
        "userId": user,
        "namespace": namespace,
        "key": key,
        "value": value,
        "metadata": {},
        "createdByAgent": "planner",
        "lastAccessedByAgent": None,
        "accessCount": 3,
        "createdAt": "2025-01-02T03:04:05.678901",
        "updatedAt": "2025-01-02T03:04:05.678901",
        "lastAccessedAt": None,
    }


def in_our_place(document):
    """Return the same as lying where a record of ours would."""
    return {**document, "_id": encode_id(document["userId"], document["namespace"], document["key"])}


LEGACY = [legacy("alice", "default", "k", 1), legacy("bob", "trips:2026", "rome", [3]), legacy("u", "n", "x", 2)]


def fill(proxy, name, documents):
    proxy_request(proxy, "PUT", f"/{name}")
    send(proxy, name, documents)


def send(proxy, name, documents):
    connection = proxy_connection(proxy)
    headers = {"Authorization": proxy.credentials, "Content-Type": "application/json"}
    connection.request("POST", f"/{name}/_bulk_docs", json.dumps({"docs": documents}), headers)
    assert connection.getresponse().status == 201
    connection.close()


def contents(proxy, name):
    connection = proxy_connection(proxy)
    connection.request("GET", f"/{name}/_all_docs?include_docs=true", headers={"Authorization": proxy.credentials})
    rows = json.loads(connection.getresponse().read())["rows"]
    connection.close()
    return {row["id"]: row["doc"] for row in rows}


@contextmanager
def only_read(proxy, name):
    """Nothing that happens here asks the server to write, and nothing changes in the database."""
    before = contents(proxy, name)
    proxy.requests.clear()
    yield
    assert all(request.startswith("GET") for request in proxy.requests)
    assert contents(proxy, name) == before


def proxy_connection(proxy):
    return http.client.HTTPConnection("127.0.0.1", proxy.upstream)
