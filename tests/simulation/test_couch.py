"""The model of CouchDB answers as PouchDB Server does: the same calls through the adapter lead to the same answers.

The calls are drawn as in a run, for two stores that take turns, so that each one meets what the other has written.
Some requests are sent twice, and some answers are lost. All requests and all answers are compared, not only what the
calls return.
"""

import json
import re
import uuid
from dataclasses import replace
from functools import partial
from random import Random
from types import SimpleNamespace
from unittest.mock import patch
from urllib.parse import unquote

import httpx
import pytest

from datastore import DataStore, DataStoreError, ids
from datastore.conformance.simulation.around import leases as of_leases
from datastore.conformance.simulation.around import memory as of_memory
from datastore.conformance.simulation.around import runs as of_runs
from datastore.conformance.simulation.around import vaults as of_vaults
from datastore.conformance.simulation.history import BEGAN
from datastore.conformance.simulation.plans import Seen
from datastore.conformance.simulation.workload import KINDS, Draw
from datastore.conformance.simulation.world import Sight
from datastore.runs import stepping
from tests.full import times
from tests.servers import couchdb
from tests.simulation.both import NAMES
from tests.simulation.couch import SETTINGS, CouchDatabase, CouchModel, Transport, opened
from tests.simulation.playing import draw, play

APART = {*of_leases.KINDS, *of_runs.KINDS, *of_memory.KINDS, *of_vaults.KINDS}
COMPARED = tuple(name for name in NAMES if name not in APART)
"""Not those of leases: they keep a time such as 10.0; PouchDB gives it back as 10, so there it is sent as text. Nor
those of memory: the ids of vectors have revisions in them, which are named by chance."""
LEFT_TO_THE_SERVER = {"total_rows", "offset", "bookmark", "warning", "reason"}
"""Members of answers of which no two servers' are the same. Of reasons the store reads some, and these are tested."""
NAMED_BY_CHANCE = re.compile(r'"(\d+-)?((?:[0-9a-f]{8})+)"|\b[0-9A-Za-z]{20,24}\b')
"""Revisions of CouchDB's with their number, marks, and the store's revisions."""
REASONS = {"missing": "missing", "deleted": "deleted", "Database does not exist.": "no database"}
"""Those that the store reads."""


class Recording(httpx.BaseTransport):
    """Notes what is asked and answered, sends some requests twice, and loses some answers."""

    def __init__(self, inner, random):
        self.inner = inner
        self.random = random
        self.notes = []
        self.is_unreliable = False

    def handle_request(self, request):
        response, chance = self._sent(request), self.random.random() if self.is_unreliable else 1
        if chance < 0.05:
            raise httpx.ReadError("lost", request=request)
        return self._sent(request) if chance < 0.1 else response

    def _sent(self, request):
        response = self.inner.handle_request(request)
        body = response.read()
        path = unquote(request.url.raw_path.decode().partition("/")[2].partition("/")[2])
        self.notes.append((f"{request.method} {path}", request.content.decode(), response.status_code, body.decode()))
        return httpx.Response(response.status_code, headers=response.headers, content=body)


def replies(notes):
    """Return what was asked and answered, without what may differ: what is named by chance gets names in order."""
    names = {}

    def named(match):
        number, text = match[1] or "", match[2] or match[0]
        pieces = [text[at : at + 8] for at in range(0, len(text), 8)] if match[2] and not number else [text]
        return json.dumps(number + " ".join(f"#{names.setdefault(piece, len(names))}" for piece in pieces))

    def sound(text):
        return NAMED_BY_CHANCE.sub(named, text)

    return [(what, sound(plain(sent)), status, sound(plain(body))) for what, sent, status, body in notes]


def told(results):
    """Return what calls have returned, without what may differ."""
    return replies([("", "", 0, json.dumps(results, default=str))])


def plain(text):
    return json.dumps(_plain(json.loads(text)), sort_keys=True) if text else ""


def _plain(value):
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    reason = {"reason": REASONS[value["reason"]]} if value.get("reason") in REASONS else {}
    return {name: _plain(one) for name, one in value.items() if name not in LEFT_TO_THE_SERVER} | reason


def played(seed, new_transport, settings):
    """Make the calls of a seed, and return what they came to and what was asked and answered."""
    with (
        patch.object(ids, "os", SimpleNamespace(urandom=Random(seed).randbytes)),  # new keys
        patch.object(stepping, "time", SimpleNamespace(monotonic=lambda: 0.0)),  # how long steps take
    ):
        return _played(seed, new_transport, settings)


def _played(seed, new_transport, settings):
    random, seconds = Random(seed), [BEGAN]
    results = []
    recording = Recording(new_transport(), Random(seed))
    backends = [opened(recording, settings=settings) for _ in range(2)]
    recording.notes.clear()  # how numbers come back is different, and the store takes that into account
    recording.is_unreliable = True
    stores = [DataStore(one, clock=lambda: seconds[0], flush_interval=3_600, retry_seconds=0) for one in backends]
    seen = [Sight(store, lambda: seconds[0], lambda _: None) for store in stores]
    agents = [store.agent("ann", f"agent {number}", "ns") for number, store in enumerate(stores)]
    draw = Draw(random, "ann")
    for _ in range(40):
        name, which = random.choice(COMPARED), random.randrange(2)
        arguments = KINDS[name].draw(draw)
        sent = [seen[which].get(one.key, "r0") if isinstance(one, Seen) else one for one in arguments]
        seconds[0] += random.choice((0.000_1, 0.5, 4.0))
        try:
            results.append((name, KINDS[name].make(agents[which], seen[which], *sent)))
            if random.random() < 0.1:
                stores[which].flush()
        except DataStoreError as error:
            results.append((name, type(error).__name__))
    recording.is_unreliable = False
    for store in stores:
        store.close()
    recording.inner.close()
    return results, recording.notes


def on_the_model(seed, model=CouchModel):
    database = model()  # both stores are on it
    return played(seed, lambda: Transport(database), SETTINGS)


def on_the_server(seed):
    settings = replace(
        SETTINGS,
        origin=f"http://{couchdb.HOST}:{couchdb.proxy().port}",
        user=couchdb.USER,
        password=couchdb.PASSWORD,
        database=f"test_{uuid.uuid4().hex}",
    )
    return played(seed, httpx.HTTPTransport, settings)


@pytest.mark.server("couchdb")
@pytest.mark.parametrize("seed", range(times(5, 100)))
def test_the_model_answers_as_the_server(seed):
    (results, notes), (real_results, real_notes) = on_the_model(seed), on_the_server(seed)
    for answer, real in zip(replies(notes), replies(real_notes), strict=False):  # the first difference says it
        assert answer == real
    assert len(notes) == len(real_notes)
    assert told(results) == told(real_results)


class Overwrites(CouchModel):
    """Takes a document whatever its revision is."""

    def _written(self, document):
        there = self.documents.get(document["_id"])
        return super()._written(document | ({} if there is None else {"_rev": there.rev}))


class ForgetsTombstones(CouchModel):
    """Keeps nothing of a deleted document."""

    def _written(self, document):
        kept = {name: value for name, value in document.items() if name.startswith("_")}
        return super()._written(kept if document.get("_deleted") else document)


@pytest.mark.parametrize("model", [Overwrites, ForgetsTombstones])
def test_a_model_that_drifts_is_noticed(model):
    assert any(replies(on_the_model(seed)[1]) != replies(on_the_model(seed, model)[1]) for seed in range(20))


def test_a_run_is_the_same_on_the_short_way_through_the_client():
    for seed in range(times(30, 500)):
        plan = draw(str(seed), CouchDatabase)
        short, whole = (play(plan, partial(CouchDatabase, shortened=shortened)) for shortened in (True, False))
        assert short.story() == whole.story()
