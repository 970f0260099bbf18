"""The store of sessions of the Claude Agent SDK: by the SDK's own suite, its functions over stores, and more."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from claude_agent_sdk import (
    InMemorySessionStore,
    delete_session_via_store,
    fork_session_via_store,
    get_session_info_from_store,
    get_session_messages_from_store,
    list_sessions_from_store,
    project_key_for_directory,
    rename_session_via_store,
    tag_session_via_store,
)
from claude_agent_sdk.testing import run_session_store_conformance

from datastore import (
    InvalidNameError,
    InvalidValueError,
    PermissionDeniedError,
    Quota,
    QuotaExceededError,
    UnsupportedError,
    connect,
)
from datastore.bridges.claude_sessions import DataStoreSessionStore
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS

KEY = {"project_key": "shop", "session_id": "5e55"}
SUB = {**KEY, "subpath": "subagents/agent-1"}


def entry(number, **fields):
    return {"type": "user", "uuid": f"id {number}", "number": number} | fields


def numbers(entries):
    return None if entries is None else [one["number"] for one in entries]


def run(awaitable):
    return asyncio.run(awaitable)


@pytest.fixture
def sessions(data_store):
    return DataStoreSessionStore(data_store)


@ON_SERVERS
class TestContract:
    def test_the_suite_of_the_sdk(self, store):
        """Each of its contracts has a namespace of its own."""
        made = []

        def make():
            made.append(DataStoreSessionStore(store.agent("ann", "assistant", f"contract {len(made)}")))
            return made[-1]

        run(run_session_store_conformance(make))
        assert len(made) == 15  # 14 contracts, and one store that is looked at: no method is left out

    def test_what_is_appended_again_is_loaded_once_and_what_has_no_uuid_each_time(self, sessions):
        title = {"type": "custom-title", "number": 9}
        run(sessions.append(KEY, [entry(1), title, entry(2)]))
        run(sessions.append(KEY, [entry(2, text="again"), title, entry(1), entry(3), entry(3)]))
        assert numbers(run(sessions.load(KEY))) == [1, 9, 2, 9, 3]
        assert "text" not in run(sessions.load(KEY))[2]

    def test_those_who_append_at_the_same_moment_lose_nothing_and_keep_their_order(self, sessions, store):
        others = [sessions, DataStoreSessionStore(store.agent("ann", "other").asynchronous)]

        def work(who):
            for turn in range(5):
                stamp = f"2024-01-0{who + 1}T00:00:0{turn}Z"
                batch = [entry(1000 * who + 10 * turn + place, timestamp=stamp) for place in range(2)]
                run(others[who % 2].append(KEY, [*batch, {"type": "tag", "number": -1, "customTitle": f"{who}"}]))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        loaded = numbers(run(sessions.load(KEY)))
        assert len(loaded) == 4 * 5 * 3
        for who in range(4):
            mine = [number for number in loaded if number // 1000 == who and number >= 0]
            assert mine == sorted(mine)
            assert len(mine) == 10
        assert len(run(sessions.list_session_summaries("shop"))) == 1

    def test_an_entry_of_several_megabytes_comes_back_and_goes_with_its_session(self, sessions, data_store):
        image = "é" * 1_500_000
        run(sessions.append(KEY, [entry(1), entry(2, image=image), entry(3)]))
        run(sessions.append(SUB, [entry(4, image=image)]))
        loaded = run(sessions.load(KEY))
        assert numbers(loaded) == [1, 2, 3]
        assert loaded[1] == entry(2, image=image)
        assert run(sessions.load(SUB)) == [entry(4, image=image)]
        assert len(data_store.blobs.list()) == 2
        assert data_store.log("claude/shop/5e55").last()[0].value["entry"]["number"] == 3
        run(sessions.delete(SUB))
        assert len(data_store.blobs.list()) == 1
        run(sessions.delete(KEY))
        assert data_store.blobs.list() == []

    def test_the_functions_of_the_sdk_do_with_it_what_they_do_with_its_own_store(self, sessions, tmp_path):
        project = project_key_for_directory(str(tmp_path))

        async def use(store):
            id, time = "0b5f3c1e-1111-4222-8333-444455556666", "2024-01-01T00:00:0{}Z"
            key = {"project_key": project, "session_id": id}
            turns = [
                {
                    "type": kind,
                    "uuid": f"00000000-0000-4000-8000-00000000000{number}",
                    "parentUuid": f"00000000-0000-4000-8000-00000000000{number - 1}" if number else None,
                    "timestamp": time.format(number),
                    "sessionId": id,
                    "isSidechain": False,
                    "message": {"role": kind, "content": f"text {number}"},
                }
                for number, kind in enumerate(["user", "assistant", "user", "assistant"])
            ]
            await store.append(key, turns[:2])
            await store.append(key, turns[2:])
            await rename_session_via_store(store, id, "the invoice", directory=str(tmp_path))
            await tag_session_via_store(store, id, "billing", directory=str(tmp_path))
            said = await get_session_messages_from_store(store, id, directory=str(tmp_path))
            info = await get_session_info_from_store(store, id, directory=str(tmp_path))
            listed = await list_sessions_from_store(store, directory=str(tmp_path))
            fork = await fork_session_via_store(store, id, directory=str(tmp_path), title="another way")
            both = await list_sessions_from_store(store, directory=str(tmp_path))
            await delete_session_via_store(store, id, directory=str(tmp_path))
            left = await list_sessions_from_store(store, directory=str(tmp_path))
            return (
                [one.message for one in said],
                (info.custom_title, info.tag, info.first_prompt, info.created_at),
                [(one.session_id, one.custom_title, one.tag) for one in listed],
                sorted(one.custom_title for one in both),
                [one.session_id == fork.session_id for one in left],
            )

        found = run(use(sessions))
        assert found == run(use(InMemorySessionStore()))
        assert found[1] == ("the invoice", "billing", "text 0", 1704067200000)


@ON_SERVERS
def test_what_each_call_asks_for(place, url):
    with counted(place, url) as asked:
        sessions = DataStoreSessionStore(asked.store.agent("ann", "assistant"))

        def cost(call):
            return asked.by(lambda: run(call()))

        run(sessions.append(KEY, [entry(0)]))
        run(sessions.append(SUB, [entry(0)]))
        for number in range(1, 40):
            run(sessions.append(KEY, [entry(number)]))
        assert cost(lambda: sessions.append(KEY, [entry(40)])) == 3
        assert cost(lambda: sessions.append(KEY, [entry(41), entry(42)])) == 3
        assert cost(lambda: sessions.append(SUB, [entry(1)])) == 2
        assert cost(lambda: sessions.append(KEY, [])) == 0
        assert cost(lambda: sessions.load(KEY)) == 1
        assert cost(lambda: sessions.list_sessions("shop")) == 1
        assert cost(lambda: sessions.list_session_summaries("shop")) == 1
        assert cost(lambda: sessions.list_subkeys(KEY)) == 1


def test_to_append_and_to_list_reads_nothing_that_grows_with_the_history(place, url):
    with counted(place, url) as asked:
        sessions = DataStoreSessionStore(asked.store.agent("ann", "assistant"))

        async def talk():
            for number in range(300):
                await sessions.append(KEY, [entry(number)])
                await sessions.append({**KEY, "subpath": f"{number % 50}"}, [entry(number)])

        run(talk())
        assert asked.read_by(lambda: run(sessions.append(KEY, [entry(400)]))) == 1
        assert asked.read_by(lambda: run(sessions.list_sessions("shop"))) == 1
        assert asked.read_by(lambda: run(sessions.list_session_summaries("shop"))) == 1
        assert asked.read_by(lambda: run(sessions.list_subkeys(KEY))) == 50


class TestHostile:
    def test_names_that_look_like_others_do_not_meet(self, sessions):
        keys = [
            {"project_key": project, "session_id": session} | ({"subpath": subpath} if subpath else {})
            for project, session, subpath in [
                ("a", "b/c", None), ("a/b", "c", None), ("a%2Fb", "c", None), ("a", "b", "c"), ("a", "b", "c/d"),
                ("a", "b/c", "d"), ("a:", "b", None), ("a", ":b", None), ("..", "..", "../.."), ("\x00", "日本", "%"),
                ("p" * 208, "5" * 36, "subagents/" + "x" * 100), ("p" * 208, "5" * 36, None),
            ]
        ]  # fmt: skip
        for number, key in enumerate(keys):
            run(sessions.append(key, [entry(number)]))
        assert [numbers(run(sessions.load(key))) for key in keys] == [[number] for number in range(len(keys))]
        assert sorted(one["session_id"] for one in run(sessions.list_sessions("a"))) == [":b", "b/c"]
        assert run(sessions.list_subkeys({"project_key": "a", "session_id": "b"})) == ["c", "c/d"]
        run(sessions.delete(keys[0]))
        assert [run(sessions.load(key)) is None for key in keys[:7]] == [True, False, False, False, False, True, False]

    @pytest.mark.parametrize(
        "key",
        [{}, {"project_key": "a"}, {**KEY, "session_id": 3}, {**KEY, "project_key": ""}, {**KEY, "subpath": ""}],
        ids=str,
    )
    def test_keys_without_a_name_are_refused(self, sessions, key):
        for call in (
            lambda: sessions.append(key, [entry(1)]),
            lambda: sessions.load(key),
            lambda: sessions.delete(key),
        ):
            with pytest.raises(InvalidNameError, match=r"project_key|session_id|subpath"):
                run(call())

    def test_what_is_no_json_is_refused_whole(self, sessions):
        run(sessions.append(KEY, [entry(1)]))
        large = entry(2, text="x" * 2_000_000)
        for bad in (entry(3, when={1}), entry(3, text="\ud800"), "text"):
            with pytest.raises(InvalidValueError):
                run(sessions.append(KEY, [large, bad]))
        assert numbers(run(sessions.load(KEY))) == [1]

    @pytest.mark.parametrize("value", [{"format": 2, "entry": {}}, {"entry": {}}, [], {"format": 1}])
    def test_what_another_version_wrote_is_refused(self, sessions, data_store, value):
        run(sessions.append(KEY, [entry(1)]))
        data_store.log("claude/shop/5e55").append(value)
        with pytest.raises(UnsupportedError, match="entry 2 of log 'claude/shop/5e55' is not of format 1"):
            run(sessions.load(KEY))
        data_store.set("claude/shop/5e55", value)
        for call in (lambda: sessions.append(KEY, [entry(2)]), lambda: sessions.list_session_summaries("shop")):
            with pytest.raises(UnsupportedError, match="record 'claude/shop/5e55' is not of format 1"):
                run(call())


class TestKeeping:
    def test_idle_sessions_are_pruned_with_their_subagents(self, url):
        late = [7_200.0]
        with connect(url, clock=lambda: time.time() - late[0]) as store:
            data_store = store.agent("ann", "assistant")
            sessions = DataStoreSessionStore(data_store)
            for key in (KEY, SUB, {**KEY, "session_id": "used"}, {"project_key": "other", "session_id": "x"}):
                run(sessions.append(key, [entry(1)]))
            data_store.set("claude", "no session")
            late[0] = 0
            run(sessions.append({**KEY, "session_id": "used"}, [entry(2)]))
            assert run(sessions.prune(idle=3_600)) == 2
            assert run(sessions.prune(idle=3_600)) == 0
            assert [run(sessions.load(key)) for key in (KEY, SUB)] == [None, None]
            assert [one["session_id"] for one in run(sessions.list_sessions("shop"))] == ["used"]
            assert data_store.list_keys() == ["claude", "claude/shop/used"]
            assert data_store.list_logs() == ["claude/shop/used"]
            with pytest.raises(InvalidValueError, match="idle"):
                run(sessions.prune(idle=0))

    def test_a_delete_that_was_interrupted_is_done_again(self, sessions, data_store):
        run(sessions.append(KEY, [entry(1)]))
        run(sessions.append(SUB, [entry(1)]))
        data_store.log("claude-sub/shop/5e55/subagents%2Fagent-1").clear()
        assert [one["session_id"] for one in run(sessions.list_sessions("shop"))] == ["5e55"]
        run(sessions.delete(KEY))
        assert (data_store.list_keys(), data_store.list_logs()) == ([], [])


class TestWhoseItIs:
    def test_users_and_namespaces_have_sessions_of_their_own(self, store, sessions):
        run(sessions.append(KEY, [entry(1)]))
        for other in (store.agent("bob", "assistant"), store.agent("ann", "assistant", "other")):
            assert run(DataStoreSessionStore(other).load(KEY)) is None
            assert run(DataStoreSessionStore(other).list_sessions("shop")) == []

    def test_grants_and_quotas_hold(self, store, sessions):
        run(sessions.append(KEY, [entry(1)]))
        reader = DataStoreSessionStore(store.agent("ann", "reader", grants={"default": "read"}))
        assert numbers(run(reader.load(KEY))) == [1]
        for call in (lambda: reader.append(KEY, [entry(2)]), lambda: reader.delete(KEY)):
            with pytest.raises(PermissionDeniedError):
                run(call())
        small = DataStoreSessionStore(store.agent("ann", "small", quota=Quota(records=3)))
        other = {**KEY, "session_id": "other"}
        run(small.append(other, [entry(1)]))
        run(small.append(other, [entry(2)]))
        with pytest.raises(QuotaExceededError):
            run(small.append(other, [entry(3)]))
        assert numbers(run(sessions.load(other))) == [1, 2]

    def test_entries_say_who_appended_them(self, store, sessions, data_store):
        run(sessions.append(KEY, [entry(1)]))
        run(DataStoreSessionStore(store.agent("ann", "helper")).append(KEY, [entry(2)]))
        assert [one.agent for one in data_store.log("claude/shop/5e55").read()] == ["assistant", "helper"]
