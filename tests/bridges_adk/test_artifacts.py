"""Artifacts of Google's ADK in an agent's store: cases that ADK's own services pass, costs, and who is hostile."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from google.adk.artifacts import FileArtifactService, InMemoryArtifactService
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types

from datastore import (
    DamagedRecordError,
    InvalidNameError,
    InvalidNameTypeError,
    InvalidValueError,
    PermissionDeniedError,
    UnsupportedError,
    connect,
)
from datastore.bridges.google_adk_artifacts import DataStoreArtifactService
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS, PLACES, SERVERS

USER = {"app_name": "shop", "user_id": "ann"}
PLACE = {**USER, "session_id": "talk"}
FILE = {**PLACE, "filename": "plan.txt"}


def text(value):
    return types.Part(text=value)


def image(data, **more):
    return types.Part(inline_data=types.Blob(mime_type="image/png", data=data, **more))


@pytest.fixture
def service(data_store):
    return DataStoreArtifactService(data_store)


@pytest.fixture(params=["ADK's in memory", "ADK's files", "memory", "sqlite", *SERVERS])
def each(request, tmp_path):
    """A service of ADK's own, or ours on a database."""
    if request.param == "ADK's in memory":
        yield InMemoryArtifactService()
    elif request.param == "ADK's files":
        yield FileArtifactService(tmp_path)
    else:
        with PLACES[request.param](tmp_path) as url, connect(url) as store:
            yield DataStoreArtifactService(store.agent("ann", "assistant"))


def call(service, name, **kwargs):
    return asyncio.run(getattr(service, name)(**kwargs))


def save(service, artifact, **kwargs):
    return call(service, "save_artifact", **(FILE | kwargs), artifact=artifact)


def load(service, **kwargs):
    return call(service, "load_artifact", **(FILE | kwargs))


class TestContract:
    def test_versions_are_numbered_from_0_and_the_last_one_is_loaded(self, each):
        parts = [text("one"), image(bytes(range(256)) * 40, display_name="a.png"), text("日本")]
        assert [save(each, part) for part in parts] == [0, 1, 2]
        assert load(each) == parts[2]
        assert load(each, version=0) == parts[0]
        found = load(each, version=1).inline_data
        assert (found.mime_type, found.data) == ("image/png", parts[1].inline_data.data)
        assert load(each, version=3) is None
        assert call(each, "list_versions", **FILE) == [0, 1, 2]

    def test_what_is_not_there_is_none(self, each):
        assert load(each) is None
        assert load(each, filename="user:plan.txt") is None
        assert call(each, "list_versions", **FILE) == []
        assert call(each, "list_artifact_versions", **FILE) == []
        assert call(each, "get_artifact_version", **FILE) is None
        assert call(each, "list_artifact_keys", **PLACE) == []
        call(each, "delete_artifact", **FILE)

    def test_files_are_of_a_session_or_of_a_user(self, each):
        save(each, text("mine"))
        save(each, text("other"), session_id="other")
        save(each, text("ours"), filename="user:all.txt")
        save(each, text("bob's"), user_id="bob", filename="user:all.txt")
        assert load(each, session_id="other") == text("other")
        assert load(each, session_id=None, filename="user:all.txt") == text("ours")
        assert load(each, session_id="third", filename="user:all.txt") == text("ours")
        assert load(each, app_name="office") is None
        assert call(each, "list_artifact_keys", **PLACE) == ["plan.txt", "user:all.txt"]
        assert call(each, "list_artifact_keys", **USER) == ["user:all.txt"]

    def test_what_is_known_of_versions(self, each):
        save(each, text("one"), custom_metadata={"by": ["ann", 1]})
        save(each, image(b"two"))
        first, second = call(each, "list_artifact_versions", **FILE)
        assert (first.version, first.custom_metadata) == (0, {"by": ["ann", 1]})
        assert (second.version, second.custom_metadata, second.mime_type) == (1, {}, "image/png")
        assert abs(first.create_time - time.time()) < 3_600
        assert first.canonical_uri != second.canonical_uri
        assert call(each, "get_artifact_version", **FILE) == second
        assert call(each, "get_artifact_version", **FILE, version=0) == first
        assert call(each, "get_artifact_version", **FILE, version=2) is None

    def test_a_file_is_deleted_with_its_versions_and_begins_anew(self, each):
        for value in ("one", "two"):
            save(each, text(value))
        save(each, text("other"), filename="other.txt")
        call(each, "delete_artifact", **FILE)
        assert load(each) is None
        assert load(each, version=0) is None
        assert call(each, "list_artifact_keys", **PLACE) == ["other.txt"]
        assert save(each, text("three")) == 0
        assert load(each) == text("three")

    def test_a_dict_is_taken_and_what_is_no_artifact_is_not(self, each):
        save(each, {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}})
        assert load(each).inline_data == types.Blob(mime_type="text/csv", data=b"a,b")
        with pytest.raises(InputValidationError):
            save(each, types.Part())

    def test_what_a_rewind_takes_away_is_not_there(self, each):
        save(each, text("one"))
        save(each, types.Part(inline_data=types.Blob(mime_type="application/octet-stream", data=b"")))
        assert load(each) is None
        assert load(each, version=0) == text("one")
        assert save(each, text("two")) == 2


class TestLikeInMemory:
    @pytest.fixture(params=["ADK's in memory", "ours"])
    def one(self, request, service):
        return service if request.param == "ours" else InMemoryArtifactService()

    def refer(self, uri):
        return types.Part(file_data=types.FileData(file_uri=uri))

    def test_a_file_is_of_a_session_if_its_name_does_not_say_that_it_is_the_users(self, one):
        for name, more in (("save_artifact", {"artifact": text("whose?")}), ("load_artifact", {})):
            with pytest.raises(InputValidationError, match="Session ID"):
                call(one, name, **(FILE | {"session_id": None}), **more)

    def test_a_reference_leads_to_a_version(self, one):
        save(one, text("first"))
        save(one, text("second"))
        uri = "artifact://apps/shop/users/ann/sessions/talk/artifacts/plan.txt/versions/0"
        save(one, self.refer(uri), filename="link.txt")
        assert load(one, filename="link.txt") == text("first")
        save(one, text("ours"), filename="user:all.txt")
        save(one, self.refer("artifact://apps/shop/users/ann/artifacts/user:all.txt/versions/0"), filename="link.txt")
        assert load(one, filename="link.txt") == text("ours")
        web = self.refer("https://example.com/a.pdf")
        save(one, web, filename="link.txt")
        assert load(one, filename="link.txt") == web

    def test_no_reference_leads_elsewhere_or_into_a_circle(self, one):
        for uri in (
            "artifact://apps/shop/users/bob/sessions/talk/artifacts/plan.txt/versions/0",
            "artifact://apps/office/users/ann/sessions/talk/artifacts/plan.txt/versions/0",
            "artifact://apps/shop/users/ann/sessions/other/artifacts/plan.txt/versions/0",
            "artifact://nowhere",
        ):
            with pytest.raises(InputValidationError):
                save(one, self.refer(uri))
        save(one, self.refer("artifact://apps/shop/users/ann/sessions/talk/artifacts/plan.txt/versions/0"))
        with pytest.raises(InputValidationError, match="recursion"):
            load(one)

    def test_a_uri_of_ours_is_a_reference(self, service):
        for filename in ("plan.txt", "user:all.txt"):
            save(service, text(filename), filename=filename)
            uri = call(service, "get_artifact_version", **(FILE | {"filename": filename})).canonical_uri
            save(service, self.refer(uri), filename="link.txt")
            assert load(service, filename="link.txt") == text(filename)


@ON_SERVERS
def test_those_who_save_at_the_same_moment_get_each_a_version(store, data_store):
    def work(who):
        mine = DataStoreArtifactService(store.agent("ann", f"agent {who}"))
        return {save(mine, text(f"{who} {turn}")): f"{who} {turn}" for turn in range(4)}

    with ThreadPoolExecutor(3) as threads:
        saved = {number: value for some in threads.map(work, range(3)) for number, value in some.items()}
    assert sorted(saved) == list(range(12))
    service = DataStoreArtifactService(data_store)
    assert {number: load(service, version=number).text for number in saved} == saved


@ON_SERVERS
def test_what_each_call_asks_for(place, url):
    with counted(place, url) as asked:
        service = DataStoreArtifactService(asked.store.agent("ann", "assistant"))
        for number in range(5):
            save(service, text(f"version {number}"))
        assert asked.by(lambda: save(service, text("once more"))) <= 8
        assert asked.by(lambda: load(service)) <= 3
        assert asked.by(lambda: load(service, version=2)) <= 3
        assert asked.by(lambda: load(service, filename="none")) == 1
        assert asked.by(lambda: call(service, "list_versions", **FILE)) == 1
        assert asked.by(lambda: call(service, "get_artifact_version", **FILE)) == 1
        assert asked.by(lambda: call(service, "list_artifact_keys", **PLACE)) == 2
        assert asked.by(lambda: call(service, "list_artifact_keys", **USER)) == 1


class TestHostile:
    @pytest.mark.parametrize("name", ["a/b", "../x", "%2F", "user", "/", "日本", "\x00", "x" * 600, "a%2Fb", "C:"])
    def test_files_with_strange_names_do_not_meet(self, service, name):
        one, other = name[:90], name[1:90] or "-"
        files = [name, name[1:] or "-", f"user:{name}"]
        places = [
            {"app_name": app, "user_id": user, "session_id": id, "filename": file}
            for app in (one, other) for user in (one, other) for id in (one, other) for file in files
        ]  # fmt: skip
        for number, place in enumerate(places):
            save(service, text(str(number)), **place)
        for number, place in enumerate(places):
            of_user = place["filename"].startswith("user:")
            last = number + 3 if of_user and place["session_id"] == one else number
            assert load(service, **place) == text(str(last))
            del place["filename"]
            assert call(service, "list_artifact_keys", **place) == sorted(files)

    def test_names_that_cannot_be_are_refused_before_any_request(self, service, store):
        store.close()
        for parameter in ("app_name", "user_id", "session_id", "filename"):
            for value, error in ((3, InvalidNameTypeError), ("\ud800", InvalidNameError), ("", InvalidNameError)):
                with pytest.raises(error, match=parameter):
                    save(service, text("x"), **{parameter: value})
        with pytest.raises(InvalidValueError, match="artifact"):
            save(service, text("\ud800"))
        for artifact in ("text", None, {"inline_data": 3}):
            with pytest.raises(InvalidValueError, match="artifact"):
                save(service, artifact)
        with pytest.raises(InvalidValueError, match="ttl"):
            DataStoreArtifactService(store.agent("ann", "assistant"), ttl=0)

    def test_a_record_that_this_version_does_not_know_is_refused(self, service, data_store):
        save(service, text("one"))
        key = "adk-file/shop/ann/talk/plan.txt"
        value = data_store.get(key)
        newer = json.loads(json.dumps(value))
        newer["versions"][0]["part"]["from_the_future"] = 1
        others = [{**value, name: None} for name in value]
        for other in ({**value, "format": 2}, [], newer, *others, {**value, "versions": [{}]}):
            data_store.set(key, other)
            with pytest.raises(UnsupportedError, match=f"record '{key}'"):
                load(service)
        data_store.set(key, value)
        data_store.blobs.delete(value["versions"][0]["blob"])
        with pytest.raises(DamagedRecordError, match=key):
            load(service)

    def test_grants_hold(self, store, service):
        save(service, text("one"))
        reader = DataStoreArtifactService(store.agent("ann", "reader", grants={"default": "read"}))
        assert load(reader) == text("one")
        with pytest.raises(PermissionDeniedError):
            save(reader, text("two"))
        assert load(DataStoreArtifactService(store.agent("bob", "assistant"))) is None


class TestKeeping:
    @pytest.fixture
    def clock(self):
        """The seconds by which the clock of the store is late."""
        return [0.0]

    @pytest.fixture
    def store(self, url, clock):
        with connect(url, clock=lambda: time.time() - clock[0]) as store:
            yield store

    def test_old_versions_idle_files_and_what_nobody_lists_are_pruned(self, service, data_store, clock):
        clock[0] = 7_200
        for number in range(5):
            save(service, text(f"{number}"))
            save(service, text(f"{number}"), filename="user:old.txt")
        data_store.blobs.put("adk-file/mine", b"not ADK's")
        save(service, text("lost"), filename="lost.txt")
        data_store.delete("adk-file/shop/ann/talk/lost.txt")
        clock[0] = 0
        save(service, text("5"))
        assert call(service, "prune", idle=3_600, keep=2) == 5 + 4
        assert call(service, "list_versions", **FILE) == [4, 5]
        assert [load(service, version=number) for number in (3, 4, 5)] == [None, text("4"), text("5")]
        assert load(service, version=-1) is None
        assert save(service, text("6")) == 6
        assert call(service, "list_artifact_keys", **PLACE) == ["plan.txt"]
        assert len(data_store.blobs.list()) == 3 + 1
        for keep in (0, True, "1"):
            with pytest.raises(InvalidValueError, match="keep"):
                call(service, "prune", keep=keep)

    def test_a_file_is_there_for_a_time_after_its_last_version(self, data_store, clock):
        service = DataStoreArtifactService(data_store, ttl=timedelta(hours=1))
        clock[0] = 9_000
        save(service, text("one"))
        clock[0] = 6_000
        save(service, text("two"))
        clock[0] = 3_000
        assert load(service, version=0) == text("one")
        clock[0] = 0
        assert load(service) is None
        assert save(service, text("three")) == 0
        assert call(service, "prune") == 0
        assert len(data_store.blobs.list()) == 1
