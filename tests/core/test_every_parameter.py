"""Every parameter of every public call, given every nasty thing: it works, or an error of the store says why not.

The calls and their parameters are found by introspection, so that a new one is here from its first day. What a
function, a mapping or an iterable of the caller's raises is the caller's own, and passes; all else is a `DataStoreError`.
"""

import inspect

import pytest

import datastore
from datastore import (
    AgentDataStore,
    ConfigurationError,
    DataStore,
    DataStoreError,
    InternalError,
    KeyValueStore,
    Vault,
)
from datastore.backend import Fields
from datastore.connecting import _adapter
from datastore.urls import Url
from tests.core.nasty import NASTY, CallersError

GOOD = {
    "agent": "a",
    "by": 1,
    "changes": {"a": 2},
    "collection": "c",
    "confirm": "u",
    "data": {"a": 1},
    "entity_id": "e",
    "fields": ["a"],
    "filter": {"a": 1},
    "function": lambda value: {"a": 1},
    "items": {"k": 1},
    "key": "k",
    "key_or_pattern": "k",
    "keys": ["k"],
    "namespace": "default",
    "scope": "run",
    "user_id": "u",
    "value": {"a": 1},
}
"""What to give for a parameter that has no default while another one is tried."""
FITTING = {"increment": {"key": "number"}, "append": {"key": "array"}, "pop": {"key": "array"}}

DUNDERS = {"__call__", "__contains__"}  # those of the special methods that take arguments of the caller's
ENDS_THE_STORE = {"close"}
CALLS = [
    (kind, name, parameter)
    for kind in (DataStore, AgentDataStore, Vault, KeyValueStore)
    for name, call in inspect.getmembers(kind, inspect.isfunction)
    if (not name.startswith("_") or (name in DUNDERS and kind.__module__.startswith("datastore")))
    and name not in ENDS_THE_STORE
    for parameter in list(inspect.signature(call).parameters)[1:]
]


def test_the_calls_are_found():
    found = {(kind.__name__, name) for kind, name, _ in CALLS}
    assert found > {
        ("AgentDataStore", "set"),
        ("AgentDataStore", "find_records"),
        ("DataStore", "drop_customer"),
        ("Vault", "query"),
        ("KeyValueStore", "end_scope"),
        ("KeyValueStore", "__call__"),
        ("AgentDataStore", "__contains__"),
    }
    assert len(CALLS) > 100


class Place:
    """A store with a few records, the objects whose calls are tried, and what is stored."""

    def __init__(self, url):
        self.store = datastore.connect(url, tracking="off", retry_seconds=0)
        self.agent = self.store.agent("u", "a")
        key_value = self.agent.key_value(scopes={"run": "r"})
        self.of = {DataStore: self.store, AgentDataStore: self.agent, Vault: self.agent.vault, KeyValueStore: key_value}
        self.fill()

    def fill(self):
        self.agent.clear()
        records = {"k": {"a": 1, "n": [1, {"b": "x"}]}, "number": 1, "array": [1, 2]}
        self.agent.set_many(records)
        self.agent.vault.clear("c")
        self.agent.vault.store("c", {"a": 1}, "k")
        key_value = self.of[KeyValueStore]
        for entity in (None, "e"):
            for key, value in records.items():
                key_value.insert(key, value, entity)
        self.filled = self.content()

    def content(self):
        if not hasattr(self.store._core.backend, "all_documents"):
            return None  # isolated: there is no listing of all customers
        page = self.store._core.backend.all_documents(Fields.ALL, 1_000)
        assert page.after is None
        return list(page.documents)


@pytest.fixture(scope="module", params=["memory://", "sqlite:///{}/a.db", "memory://?isolation=database"])
def place(request, tmp_path_factory):
    place = Place(request.param.format(tmp_path_factory.mktemp("nasty")))
    yield place
    place.store.close()


@pytest.mark.parametrize(("kind", "name", "parameter"), CALLS, ids=lambda part: getattr(part, "__name__", part))
def test_a_call_works_or_says_why_not(place, kind, name, parameter):
    call = getattr(place.of[kind], name)
    signature = inspect.signature(call)
    wrong = []
    for label, make in NASTY.items():
        arguments = {
            one: FITTING.get(name, {}).get(one, GOOD[one])
            for one, described in signature.parameters.items()
            if described.default is described.empty and described.kind is not described.VAR_POSITIONAL
        }
        bound = signature.bind_partial(**arguments)
        several = signature.parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
        bound.arguments[parameter] = (make(),) if several else make()
        before = place.content()
        try:
            result = call(*bound.args, **bound.kwargs)
            if inspect.isgenerator(result) or hasattr(result, "__next__"):
                list(result)
        except InternalError as error:
            wrong.append(f"{label}: {error!r} of {error.__cause__!r}")
        except DataStoreError as error:
            if len(str(error)) > 5_000:
                wrong.append(f"{label}: a message of {len(str(error))} characters")
        except CallersError:
            pass
        except Exception as error:  # noqa: BLE001
            wrong.append(f"{label}: {type(error).__name__}: {str(error)[:200]}")
        else:
            if place.content() != place.filled:
                place.fill()
            continue
        if place.content() != before:
            wrong.append(f"{label}: refused, and yet something was written")
            place.fill()
    assert not wrong, "\n".join(wrong)


def options_of(url):
    """The options of `connect`: those of `DataStore`, and those that the adapter takes from a URL."""
    parsed = Url(url)
    _adapter(parsed)(parsed).close()
    of_the_store = [name for name in inspect.signature(DataStore).parameters if name != "backend"]
    return [*of_the_store, *parsed._known]


@pytest.mark.parametrize("url", ["memory://", "sqlite:///a.db"])
def test_connect_opens_a_store_that_works_or_says_why_not(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    for option in options_of(url):
        for label, make in NASTY.items():
            try:
                with datastore.connect(url, **{option: make()}) as store:
                    agent = store.agent("u", "a")
                    agent.set("k", 1, ttl=5)
                    agent.get("k")
            except InternalError as error:
                wrong.append(f"{option}: {label}: {error!r} of {error.__cause__!r}")
            except (DataStoreError, CallersError):
                pass
            except Exception as error:  # noqa: BLE001
                wrong.append(f"{option}: {label}: {type(error).__name__}: {str(error)[:200]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("label", NASTY)
def test_connect_takes_only_a_url(label, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENT_DATASTORE_URL", raising=False)
    if label == "None":
        datastore.connect(None).close()
        assert [path.name for path in tmp_path.iterdir()] == ["agent_data_store.db"]
        return
    with pytest.raises(ConfigurationError):
        datastore.connect(NASTY[label]())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", NASTY)
def test_a_store_takes_only_a_backend(label):
    with pytest.raises(ConfigurationError, match="backend is"):
        DataStore(NASTY[label]())
