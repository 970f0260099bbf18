"""The search for the nearest vectors, on the emulator, which needs no index for it; and what is done without one.

The emulator's search is exact. What production's finds is Google's to say; the scores and the records are checked.
"""

from types import SimpleNamespace

import google.api_core.exceptions
import grpc
import pytest

from datastore import PermissionDeniedError, UnsupportedError
from datastore.backend import Fields
from datastore.ids import area_prefix, key_range, namespace_prefix
from datastore_firestore import building
from tests.adapters import memories
from tests.firestore.recording import Fault


def asked(recorder, call):
    recorder.clear()
    call()
    return recorder.requests[:]


def test_requests(agent, recorder):
    """A search with the index asks for the last change, the nearest, the vectors, and the records."""
    calls = memories.indexed_calls_of(agent)
    assert {name: asked(recorder, call) for name, call in calls.items()} == {
        "declare": ["RunQuery", "RunQuery"],
        "add": ["Commit", "Commit", "Commit"],
        "search": ["RunQuery", "RunQuery", "BatchGetDocuments", "BatchGetDocuments"],
    }


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_the_index_answers_for_every_metric_and_only_for_the_namespace(agent, metric):
    memories.indexed_calls_of(agent)
    other = agent.use_namespace("other").memory
    other.add("near", key="near", vector=[1.0, 0.0])
    other.ensure_index()
    assert not agent.memory.explain([1.0, 0.2], metric=metric, exact=False)["exact"]
    exact = [(one.key, one.score) for one in agent.memory.search([1.0, 0.2], metric=metric)]
    assert [(one.key, one.score) for one in agent.memory.search([1.0, 0.2], metric=metric, exact=False)] == exact
    assert "near" not in dict(exact)


def test_a_vector_is_a_field_at_the_top_where_an_index_was_declared_alone(agent, store):
    """It is a vector to every client of Firestore; an edit replaces it, and a number keeps what float32 has of it."""
    vector = [0.1, -2.5e-7, 3.0]
    agent.memory.add("a", key="a", vector=vector)

    def there():
        area = area_prefix(namespace_prefix("u", "default"), "vectors")
        page = store.backend.scan(key_range(area, "v"), Fields.KEY, 9)
        prefix = store.backend._settings.prefix
        found = store.backend._connection.batch_get([prefix + one.id for one in page.documents], None)
        return [one.fields["vector3"].map_value for one in found.values() if "vector3" in one.fields]

    assert there() == []
    agent.memory.ensure_index()
    agent.memory.edit("a", vector=vector[::-1])
    (stored,) = there()
    assert stored.fields["__type__"].string_value == "__vector__"
    numbers = [one.double_value for one in stored.fields["value"].array_value.values]
    assert memories.float32(numbers) == memories.float32(vector[::-1])


def test_a_missing_index_is_not_missed_in_silence(agent, recorder):
    """The search is exact, and `explain` says so."""
    memories.indexed_calls_of(agent)
    agent.memory.search([1.0, 0.0])

    recorder.fail("RunQuery", None, grpc.StatusCode.FAILED_PRECONDITION)
    how = agent.memory.explain([1.0, 0.0], exact=False)
    assert how["exact"]
    assert "no such index" in how["why_exact"]
    assert len(agent.memory.search([1.0, 0.0], exact=False)) == 10


def test_too_many_dimensions_are_refused(agent):
    agent.memory.add("a", vector=[1.0] * 2_049)
    with pytest.raises(UnsupportedError, match="2,048 dimensions at most, not 2,049"):
        agent.memory.ensure_index()
    assert len(agent.memory.search([1.0] * 2_049, exact=False)) == 1


def test_an_index_is_created_where_it_is_missing(agent, recorder, monkeypatch):
    """Through the administration API, and waited for; or the command is shown to who may not."""
    agent.memory.add("a", vector=[1.0] * 3)
    made = list[dict[str, object]]()
    administrator = SimpleNamespace(create_index=lambda **given: made.append(given))
    monkeypatch.setattr(building, "admin_client", lambda _: administrator)
    monkeypatch.setattr(building, "_LOOK_SECONDS", 0.0)
    refused = grpc.StatusCode.FAILED_PRECONDITION
    recorder.fail("RunQuery", None, refused, refused)
    assert agent.memory.ensure_index() == "vector3"
    ((field,),) = [given["index"].fields for given in made]
    assert (field.field_path, field.vector_config.dimension) == ("vector3", 3)
    assert "flat" in field.vector_config

    def denied(**_):
        raise google.api_core.exceptions.PermissionDenied("no", errors=[Fault(grpc.StatusCode.PERMISSION_DENIED)])

    monkeypatch.setattr(administrator, "create_index", denied)
    recorder.fail("RunQuery", None, refused)
    with pytest.raises(PermissionDeniedError, match=r"gcloud firestore .*field-path=vector3,vector-config"):
        agent.memory.ensure_index()
