"""The memory of Google's ADK in an agent's store: cases that ADK's own services pass, costs, and who is hostile."""

import asyncio
import time
from datetime import timedelta

import pytest
from google.adk.events import Event
from google.adk.memory import InMemoryMemoryService, SqliteMemoryService
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions import Session
from google.genai import types

from datastore import (
    ConfigurationError,
    Embedder,
    InvalidNameError,
    InvalidNameTypeError,
    InvalidValueError,
    PermissionDeniedError,
    UnsupportedError,
    connect,
)
from datastore.bridges.google_adk_memory import DataStoreMemoryService
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS, PLACES, SERVERS

SHOP = {"app_name": "shop", "user_id": "ann"}


def said(id, text, **kwargs):
    content = types.Content(role="user", parts=[types.Part(text=text)])
    return Event(id=id, author="user", content=content, **({"timestamp": 1_000.0} | kwargs))


TALK = [
    said("1", "I want green tea and honey", timestamp=1.0),
    said("2", "The tea was cold", timestamp=2.0),
    said("3", "私はPythonを使う", timestamp=3.0),
    said("4", "Das Café in Köln", timestamp=4.0),
    Event(id="5", author="agent", timestamp=5.0),
    Event(id="6", author="agent", timestamp=6.0, content=types.Content(role="model", parts=[
        types.Part(function_call=types.FunctionCall(name="tea")),
    ])),
]  # fmt: skip


def session(events=TALK, **kwargs):
    return Session(**({"id": "talk", **SHOP} | kwargs), events=events)


def call(service, name, **kwargs):
    return asyncio.run(getattr(service, name)(**(SHOP | kwargs)))


def add(service, session):
    asyncio.run(service.add_session_to_memory(session))


def search(service, query, **kwargs):
    return call(service, "search_memory", query=query, **kwargs).memories


def found(service, query, **kwargs):
    return [memory.content.parts[0].text for memory in search(service, query, **kwargs)]


@pytest.fixture
def service(data_store):
    return DataStoreMemoryService(data_store)


@pytest.fixture(params=["ADK's in memory", "ADK's SQLite", "memory", "sqlite", *SERVERS])
def each(request, tmp_path):
    """A service of ADK's own, or ours on a database."""
    if request.param == "ADK's in memory":
        yield InMemoryMemoryService()
    elif request.param == "ADK's SQLite":
        yield SqliteMemoryService(tmp_path / "memory.db")
    else:
        with PLACES[request.param](tmp_path) as url, connect(url) as store:
            yield DataStoreMemoryService(store.agent("ann", "assistant"))


class TestContract:
    def test_what_was_said_is_found_by_its_words(self, each):
        add(each, session())
        assert sorted(found(each, "TEA?")) == ["I want green tea and honey", "The tea was cold"]
        assert found(each, "is there honey for tea")[0] == "I want green tea and honey"
        assert found(each, "Python") == ["私はPythonを使う"]
        assert found(each, "café") == found(each, "KÖLN") == ["Das Café in Köln"]
        assert found(each, "coffee") == found(each, "te") == found(each, "") == found(each, "?!") == []

    def test_a_memory_says_who_said_it_and_when(self, each):
        add(each, session())
        (memory,) = search(each, "honey")
        assert (memory.author, memory.content.role) == ("user", "user")
        assert memory.timestamp.startswith("1970-01-01T")

    def test_apps_and_users_have_memories_of_their_own(self, each):
        add(each, session())
        add(each, session([said("7", "bob's tea")], user_id="bob"))
        add(each, session([said("8", "tea at work")], app_name="office"))
        assert len(found(each, "tea")) == 2
        assert found(each, "tea", user_id="bob") == ["bob's tea"]
        assert found(each, "tea", app_name="office") == ["tea at work"]

    def test_a_session_is_added_again_when_it_has_grown(self, each):
        add(each, session(TALK[:1]))
        add(each, session())
        add(each, session())
        assert len(found(each, "tea")) == 2

    def test_events_are_added_by_themselves(self, each):
        call(each, "add_events_to_memory", events=TALK[:2], session_id="talk")
        call(each, "add_events_to_memory", events=TALK[1:4], session_id="talk")
        call(each, "add_events_to_memory", events=[said("9", "lemon tea")])
        call(each, "add_events_to_memory", events=[])
        assert sorted(found(each, "tea")) == ["I want green tea and honey", "The tea was cold", "lemon tea"]

    def test_as_many_are_returned_as_are_useful(self, each):
        call(each, "add_events_to_memory", events=[said(f"{n}", f"tea {n}") for n in range(60)])
        assert 10 <= len(found(each, "tea")) <= 50


def test_a_memory_that_was_deleted_is_not_found_nor_added_again(data_store):
    for each in (InMemoryMemoryService(), DataStoreMemoryService(data_store)):
        add(each, session())
        ids = {memory.content.parts[0].text: memory.id for memory in search(each, "tea")}
        call(each, "delete_memory", memory_id=ids["The tea was cold"])
        call(each, "delete_memory", memory_id="none")
        call(each, "delete_memory")
        assert found(each, "tea") == ["I want green tea and honey"]
        add(each, session())
        call(each, "delete_memory", memory_id=ids["The tea was cold"])
        assert found(each, "tea") == ["I want green tea and honey"]
        assert found(each, "cold") == []


def test_a_part_of_what_has_no_spaces_is_found_as_in_memory(data_store):
    texts = [
        "東京都に住んでいます",
        "京都が好きです",
        "東京 タワー",
        "café crème",
        "naïve",
        "ΑΒΓ δελτα",
        "emoji 🍵 tea",
    ]
    queries = [
        "東京",
        "京都",
        "都",
        "京都が好き",
        "京が",
        "caf",
        "café",
        "cafés",
        "ïv",
        "δελ",
        "αβγ",
        "タワー",
        "🍵",
        "tea 都",
    ]
    theirs, ours = InMemoryMemoryService(), DataStoreMemoryService(data_store)
    for one in (theirs, ours):
        call(one, "add_events_to_memory", events=[said(text, text) for text in texts])
    for query in queries:
        assert sorted(found(ours, query)) == sorted(found(theirs, query)), query
    assert sorted(found(ours, "京都")) == ["京都が好きです", "東京都に住んでいます"]


def test_of_those_that_are_as_good_the_newest_come_first(data_store):
    service = DataStoreMemoryService(data_store, n=3)
    add(service, session([said(f"{n}", "cold tea" if n == 2 else "tea", timestamp=float(n)) for n in (3, 1, 5, 2, 4)]))
    assert [memory.id for memory in search(service, "Tea, cold")] == ["2", "5", "4"]


def test_memories_are_added_as_they_are(service):
    content = types.Content(role="model", parts=[types.Part(text="likes tea"), types.Part(text="hates milk")])
    entry = MemoryEntry(content=content, author="critic", timestamp="yesterday", custom_metadata={"sure": 0.5})
    call(service, "add_memory", memories=[entry, entry.model_copy(update={"id": "x"})], custom_metadata={"by": "me"})
    first, second = search(service, "milk")
    assert {first.id, second.id} > {"x"}
    assert first.content == types.Content(role="model", parts=[types.Part(text="likes tea\nhates milk")])
    assert (first.author, first.timestamp) == ("critic", "yesterday")
    assert first.custom_metadata == {"sure": 0.5, "by": "me"}


@ON_SERVERS
def test_what_each_call_asks_for(place, url):
    with counted(place, url) as asked:
        service = DataStoreMemoryService(asked.store.agent("ann", "assistant"))
        assert asked.by(lambda: add(service, session())) <= 2
        assert asked.by(lambda: add(service, session())) == 1
        assert asked.by(lambda: search(service, "tea")) <= 2
        assert asked.by(lambda: search(service, "?")) == 0
        for number in range(40):
            call(service, "add_events_to_memory", events=[said(f"b{number}", "tea")], user_id="bob")
        assert asked.by(lambda: search(service, "tea")) <= 2
        assert asked.by(lambda: call(service, "delete_memory", memory_id="1")) <= 3


def test_what_others_have_said_is_not_read(place, url):
    with counted(place, url) as asked:
        service = DataStoreMemoryService(asked.store.agent("ann", "assistant"))
        add(service, session())
        call(service, "add_events_to_memory", user_id="bob", events=[said(f"{n}", f"tea {n}") for n in range(200)])
        assert asked.read_by(lambda: search(service, "tea")) <= len(TALK)


class TestByMeaning:
    @pytest.fixture
    def store(self, url):
        def embed(texts):
            return [[1.0, 0.1] if "drink" in text or "tea" in text else [0.1, 1.0] for text in texts]

        with connect(url, embedder=Embedder(embed, 2, "two words")) as store:
            yield store

    def test_what_is_meant_is_found(self, data_store):
        service = DataStoreMemoryService(data_store, by_meaning=True, n=2)
        add(service, session([said("1", "I want green tea"), said("2", "The cake was good"), said("3", "iced tea")]))
        assert sorted(found(service, "something to drink")) == ["I want green tea", "iced tea"]
        assert found(service, "cake")[0] == "The cake was good"
        assert search(service, "cake")[0].author == "user"
        call(service, "delete_memory", memory_id="2")
        add(service, session([said("2", "The cake was good")]))
        assert "The cake was good" not in found(service, "cake")
        assert found(service, "something to drink", user_id="bob") == []

    def test_without_an_embedder_it_says_so(self, url):
        with connect(url) as store:
            service = DataStoreMemoryService(store.agent("ann", "assistant"), by_meaning=True)
            with pytest.raises(ConfigurationError, match="embedder"):
                add(service, session())
            with pytest.raises(ConfigurationError, match="embedder"):
                search(service, "tea")


class TestHostile:
    @pytest.mark.parametrize("name", ["a:b", "a/b", "../x", "%2F", "adk/", "日本", "\x00", "_", "x" * 300, "a%2Fb"])
    def test_apps_and_users_with_strange_names_do_not_meet(self, service, name):
        shorter = name[1:] or "-"
        places = [{"app_name": app, "user_id": user} for app in (name, shorter) for user in (name, shorter)]
        for number, place in enumerate(places):
            call(service, "add_events_to_memory", **place, events=[said("same", f"tea {number}")])
        assert [found(service, "tea", **place) for place in places] == [[f"tea {number}"] for number in range(4)]

    def test_what_cannot_be_is_refused_before_any_request(self, service, data_store, store):
        for parameters, error in (
            ({"n": 0}, InvalidValueError), ({"n": True}, InvalidValueError), ({"ttl": -1}, InvalidValueError),
        ):  # fmt: skip
            with pytest.raises(error, match=next(iter(parameters))):
                DataStoreMemoryService(data_store, **parameters)
        store.close()
        for parameter in ("app_name", "user_id"):
            for value, error in ((3, InvalidNameTypeError), ("", InvalidNameError)):
                with pytest.raises(error, match=parameter):
                    search(service, "tea", **{parameter: value})
        for ttl in (0, "x", None):
            with pytest.raises(InvalidValueError, match="ttl"):
                call(service, "add_events_to_memory", events=TALK, custom_metadata={"ttl": ttl})

    def test_long_texts_are_found_by_most_of_their_words(self, service):
        words = [f"word{number}" for number in range(2_000)]
        call(service, "add_events_to_memory", events=[said("long", " ".join(words)), said("日", "日本" * 10_000)])
        assert sum(bool(found(service, word)) for word in words[::100]) >= 8
        assert len(found(service, "本日")) == 1

    def test_what_this_version_does_not_know_is_refused(self, service, data_store):
        add(service, session())
        names = [name for name in data_store.list_namespaces() if name != "default"]
        assert names == ["default:adk/shop/ann"]
        theirs = data_store.use_namespace(names[0])
        known = theirs.get_record("1").metadata
        for other in ({"format": 2}, {"id": 1}, {"at": "now"}, {"custom": []}, {"author": 7}, {"role": {}}):
            theirs.set("1", "I want tea", known | other)
            with pytest.raises(UnsupportedError, match="record '1' is not of format 1"):
                search(service, "tea")
        theirs.set("1", ["I want tea"], known)
        with pytest.raises(UnsupportedError):
            search(service, "tea")

    def test_memories_are_kept_for_a_time_and_forgotten(self, url):
        late = [7_200.0]
        with connect(url, clock=lambda: time.time() - late[0]) as store:
            service = DataStoreMemoryService(store.agent("ann", "assistant"), ttl=3_600)
            call(service, "add_events_to_memory", events=TALK[:1])
            call(service, "add_events_to_memory", events=TALK[1:2], custom_metadata={"ttl": 36_000, "by": "me"})
            assert len(found(service, "tea")) == 2
            late[0] = 0
            assert [one.custom_metadata for one in search(service, "tea")] == [{"by": "me"}]
            add(service, session())
            assert len(found(service, "tea")) == 2
            assert call(service, "forget") == 4
            assert found(service, "tea") == []

    def test_what_was_remembered_long_ago_is_pruned_of_all_users(self, url):
        late = [100_000.0]
        with connect(url, clock=lambda: time.time() - late[0]) as store:
            data_store = store.agent("ann", "assistant")
            service = DataStoreMemoryService(data_store)
            call(service, "add_events_to_memory", events=TALK[:1])
            call(service, "add_events_to_memory", user_id="bob", events=TALK[:2])
            call(service, "delete_memory", user_id="bob", memory_id=TALK[0].id)
            data_store.use_namespace("default:other").set("old", "tea")
            late[0] = 0
            call(service, "add_events_to_memory", events=TALK[1:2])
            assert asyncio.run(service.prune(idle=timedelta(days=1))) == 3
            assert len(found(service, "tea")) == 1
            assert data_store.use_namespace("default:other").get("old") == "tea"
            with pytest.raises(InvalidValueError, match="idle"):
                asyncio.run(service.prune(idle=0))

    def test_grants_and_users_hold(self, store, service):
        add(service, session())
        assert found(DataStoreMemoryService(store.agent("bob", "assistant")), "tea") == []
        assert found(DataStoreMemoryService(store.agent("ann", "assistant", "other")), "tea") == []
        nobody = DataStoreMemoryService(store.agent("ann", "nobody", grants={"default": "write"}))
        with pytest.raises(PermissionDeniedError):
            found(nobody, "tea")
        reader = DataStoreMemoryService(
            store.agent("ann", "reader", grants={"default": "write", "default:adk/shop/ann": "read"})
        )
        assert len(found(reader, "tea")) == 2
        with pytest.raises(PermissionDeniedError):
            add(reader, session([said("new", "milk")]))
        store.forget("ann")
        assert found(service, "tea") == []
