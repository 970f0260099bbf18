"""The model of Firestore: it answers as a server does."""

import itertools
import uuid
from random import Random

import pytest
from google.cloud.firestore_v1.types import query as messages
from hypothesis import given, settings

from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.client import Settings
from tests.full import EXAMPLES_ON_SERVERS
from tests.servers import firestore as servers
from tests.servers.processes import HOST
from tests.simulation.both import BEGAN, CALLS, outcomes
from tests.simulation.firestore import SETTINGS, Channel, adapter_over, answered, new_collections
from tests.simulation.firestore_collection import Moment


class Direct(Channel):
    """Nothing goes wrong, and a second passes between two requests."""

    def __init__(self, collections):
        self._collections = collections
        self._seconds = itertools.count(1)

    def _send(self, method, request, seconds):
        second = next(self._seconds)
        return answered(self._collections, method, request, Moment((BEGAN + second) * 1_000_000, Random(second)))


@pytest.mark.server("firestore")
@settings(max_examples=EXAMPLES_ON_SERVERS // 2)
@given(calls=CALLS)
def test_it_answers_as_a_server_does(calls):
    """The same calls through the real adapter come to the same, and leave the same documents."""
    on_server = Settings(f"test-{uuid.uuid4().hex}", emulator=f"{HOST}:{servers.server().port}")
    collections = new_collections()
    came_to = outcomes(FirestoreBackend(on_server), calls, on_server.project)
    assert outcomes(adapter_over(Direct(collections)), calls, on_server.project) == came_to
    stored = _fields(on_server.prefix, _documents_on(on_server))
    assert _fields(SETTINGS.prefix, collections.documents().values()) == stored


def _documents_on(on_server):
    query = messages.StructuredQuery.pb()()
    query.from_.add(collection_id=on_server.collection)
    backend = FirestoreBackend(on_server)
    try:
        return [answer.document for answer in backend._connection.run_query(query) if answer.HasField("document")]
    finally:
        backend.close()


def _fields(prefix, documents):
    return {one.name.removeprefix(prefix): dict(one.fields) for one in documents}
