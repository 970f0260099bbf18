"""Blobs in requests: what they cost, and what nobody may do with another's parts."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from hashlib import sha256

import pytest

from datastore import DamagedRecordError, Quota
from datastore.blobs.heads import PART
from datastore.blobs.uploads import REQUEST, UPLOAD
from datastore.conformance.faults import backend_of

CONTENT = random.Random(3).randbytes(REQUEST + 10)


def text(content):
    return b64encode(content).decode()


def finish(client, begun, name="a", **other):
    given = {"name": name, **begun, "written": REQUEST, "digest": sha256(CONTENT).hexdigest()}
    return client.call("blob_finish", given | {"data": text(CONTENT[REQUEST:])} | other)


def write(client, begun, name="a", content=CONTENT[:REQUEST], **other):
    return client.call("blob_write", {"name": name, **begun, "at": 0, "data": text(content)} | other)


@pytest.fixture
def begun(client):
    return client.call("blob_begin", {"name": "a"}).result


@pytest.fixture
def other(server, store):
    """Another client with the same rights: of the same user, under the same name."""
    return server.client(store.tokens.mint("ann", "tester"))


@pytest.fixture
def blobs(store):
    return store.host("ann").blobs


def test_a_large_blob_is_begun_written_and_finished(client, begun, blobs):
    for _ in range(2):  # a repeat changes nothing
        assert write(client, begun).status == 200
    assert blobs.get("a") is None
    told = finish(client, begun).result
    assert (told["name"], told["size"], told["createdByAgent"]) == ("a", len(CONTENT), "tester")
    assert blobs.get("a") == CONTENT
    found = client.call("blob_find", {"name": "a"}).result
    read = {"name": "a", "version": found["version"], "numbers": [8, 0, 8]}
    assert list(map(b64decode, client.call("blob_read", read).result)) == [
        CONTENT[8 * PART :],
        CONTENT[:PART],
        CONTENT[8 * PART :],
    ]


@pytest.mark.parametrize("forged", [{"handle": "0" * 32}, {"handle": ""}, {"version": "A" * 22}, {"name": "b"}])
def test_nobody_writes_finishes_or_removes_what_another_puts(client, other, begun, blobs, forged):
    assert write(client, begun).status == 200
    for answered in (
        write(other, begun | forged, content=bytes(REQUEST)),
        finish(other, begun | forged),
        other.call("blob_abandon", {"name": "a", **begun, "written": REQUEST} | forged),
    ):
        assert (answered.status, answered.error) == (400, "InvalidValueError")
    assert finish(client, begun).status == 200
    assert blobs.get("a") == CONTENT


def test_what_is_finished_is_never_written_again(client, begun, blobs):
    """Neither with its own handle, nor with that of another upload: not one byte of it changes."""
    write(client, begun)
    assert finish(client, begun).status == 200
    second = client.call("blob_begin", {"name": "a"}).result
    for one in (begun, begun | {"handle": second["handle"]}, second | {"version": begun["version"]}):
        assert write(client, one, content=bytes(REQUEST)).error == "InvalidValueError"
        assert finish(client, one).error == "InvalidValueError"
        assert client.call("blob_abandon", {"name": "a", **one, "written": REQUEST}).error == "InvalidValueError"
    assert blobs.get("a") == CONTENT


def test_an_upload_that_cannot_be_finished_leaves_nothing(client, begun, store, blobs):
    write(client, begun)
    assert finish(client, begun, if_revision="none").error == "ConflictError"
    assert finish(client, begun).error == "InvalidValueError"
    again = client.call("blob_begin", {"name": "a"}).result
    write(client, again)
    assert client.call("blob_abandon", {"name": "a", **again, "written": REQUEST}).status == 200
    assert blobs.list() == []
    assert store.forget("ann").records == 0


def test_an_upload_that_is_never_finished_is_removed_a_day_later(client, begun, store, monkeypatch):
    write(client, begun)
    now = store._core.clock()
    monkeypatch.setattr(store._core, "clock", lambda: now + UPLOAD + 1)
    assert store.purge_expired() >= 1
    assert write(client, begun).error == "InvalidValueError"
    assert store.forget("ann").records == 0


def test_grants_and_quotas_hold(server, store, client, begun, blobs):
    blobs.put("a", b"old")
    found = client.call("blob_find", {"name": "a"}).result
    reader = server.client(store.tokens.mint("ann", "tester", grants={"default": "read"}))
    stranger = server.client(store.tokens.mint("ann", "tester", "mine", grants={"mine": "write"}))
    handle = {"name": "a", **begun}
    for one in (reader, stranger):
        for call, given in (
            ("blob_put", {"name": "a", "data": ""}),
            ("blob_begin", {"name": "a"}),
            ("blob_write", {**handle, "at": 0, "data": text(CONTENT[:REQUEST])}),
            ("blob_finish", {**handle, "written": 0, "digest": "0" * 64, "data": ""}),
            ("blob_abandon", {**handle, "written": 0}),
            ("blob_delete", {"name": "a"}),
        ):
            assert one.call(call, given, namespace="default").error == "PermissionDeniedError", call
    read = {"name": "a", "version": found["version"], "numbers": [0]}
    assert reader.call("blob_read", read).result == [text(b"old")]
    for call, given in (("blob_find", {"name": "a"}), ("blob_read", read), ("blob_list", {})):
        assert stranger.call(call, given, namespace="default").error == "PermissionDeniedError"
    limited = server.client(store.tokens.mint("ann", "small", "quota", quota=Quota(records=4)))
    assert limited.call("blob_put", {"name": "a", "data": text(CONTENT[:5])}).status == 200
    assert limited.call("blob_begin", {"name": "b"}).status == 200
    assert limited.call("blob_put", {"name": "c", "data": text(CONTENT[:REQUEST])}).error == "QuotaExceededError"


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("blob_put", {"name": "", "data": ""}),
        ("blob_put", {"name": "n" * 256, "data": ""}),
        ("blob_put", {"name": "a", "data": "?"}),
        ("blob_put", {"name": "a", "data": 5}),
        ("blob_put", {"name": "a", "data": "AA=A"}),
        ("blob_put", {"name": "a", "data": "A" * (REQUEST * 4 // 3 + 8)}),
        ("blob_put", {"name": "a", "data": "", "grace": -1}),
        ("blob_put", {"name": "a", "data": "", "metadata": []}),
        ("blob_put", {"name": "a", "data": "", "content_type": ""}),
        ("blob_write", {"at": 5, "data": text(CONTENT[:REQUEST])}),
        ("blob_write", {"at": -REQUEST, "data": text(CONTENT[:REQUEST])}),
        ("blob_write", {"at": REQUEST << 40, "data": text(CONTENT[:REQUEST])}),
        ("blob_write", {"at": 0, "data": text(CONTENT[:5])}),
        ("blob_finish", {"written": 1, "digest": "0" * 64, "data": ""}),
        ("blob_finish", {"written": 0, "digest": "x", "data": ""}),
        ("blob_finish", {"written": 0, "digest": 5, "data": ""}),
        ("blob_abandon", {"written": "0"}),
        ("blob_read", {"version": "../../head/a", "numbers": [0]}),
        ("blob_read", {"version": "A" * 21 + "/", "numbers": [0]}),
        ("blob_read", {"version": "A" * 22, "numbers": list(range(9))}),
        ("blob_read", {"version": "A" * 22, "numbers": [-1]}),
        ("blob_read", {"version": "A" * 22, "numbers": [2**32]}),
        ("blob_read", {"version": "A" * 22, "numbers": ["0"]}),
        ("blob_read", {"version": 5, "numbers": {}}),
        ("blob_list", {"limit": 0}),
    ],
    ids=str,
)
def test_what_is_no_part_of_a_blob_is_refused(client, begun, store, call, given):
    if call in ("blob_write", "blob_finish", "blob_abandon"):
        given = {"name": "a", **begun, **given}
    elif call == "blob_read":
        given = {"name": "a", **given}
    before = backend_of(store).document_count()
    assert client.call(call, given).status == 400
    assert backend_of(store).document_count() == before


def test_a_version_that_is_gone_says_so(client, blobs):
    blobs.put("a", b"old")
    found = client.call("blob_find", {"name": "a"}).result
    blobs.put("a", b"new", grace=0)
    read = {"name": "a", "version": found["version"], "numbers": [0]}
    assert client.call("blob_read", read).error == "BlobReplacedError"


def test_a_false_digest_is_found_when_the_whole_is_read(client, begun, store):
    """Of its own blob alone: whoever may put one may put anything."""
    write(client, begun)
    assert finish(client, begun, digest="0" * 64).status == 200
    with pytest.raises(DamagedRecordError, match="does not have its SHA-256"):
        store.host("ann").blobs.get("a")
