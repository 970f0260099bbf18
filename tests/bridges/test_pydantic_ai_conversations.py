"""The conversation store of Pydantic AI: a kit from its contract, which its own store in memory passes as well."""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BinaryContent, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.test import TestModel

from datastore import (
    DamagedRecordError,
    InvalidNameError,
    InvalidValueError,
    PermissionDeniedError,
    Quota,
    QuotaExceededError,
    UnsupportedError,
    connect,
)
from datastore.bridges.pydantic_ai_conversations import DataStoreConversationStore
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS

AT = datetime(2024, 1, 1, tzinfo=UTC)


def run(awaitable):
    return asyncio.run(awaitable)


def said(number):
    return ModelRequest(parts=[UserPromptPart(content=f"message {number}", timestamp=AT)])


def talk(id, *numbers):
    return Conversation(messages=[said(number) for number in numbers], conversation_id=id)


def numbers(conversation):
    found = (
        conversation.messages if isinstance(conversation, Conversation) else [entry.message for entry in conversation]
    )
    return [int(message.parts[0].content.rpartition(" ")[2]) for message in found]


@pytest.fixture
def store_of_conversations(data_store):
    return DataStoreConversationStore(data_store)


class Kit:
    """What the contract says of any store."""

    def test_what_is_saved_is_loaded(self, conversations):
        strange = Conversation(
            conversation_id="strange",
            messages=[
                ModelRequest(
                    parts=[
                        UserPromptPart(
                            content=["日本 \x00", BinaryContent(data=b"\x00\xff", media_type="application/pdf")],
                            timestamp=AT,
                        )
                    ]
                ),
                ModelResponse(
                    parts=[TextPart("text"), ToolCallPart("f", {"a": [1, 2.5, None]}, tool_call_id="c")], timestamp=AT
                ),
            ],
        )
        assert run(conversations.load("strange")) is None
        entries = run(conversations.save(strange, scope="ann"))
        loaded = run(conversations.load("strange"))
        assert loaded.messages == strange.messages
        assert loaded.revision == strange.revision is not None
        assert [entry.id for entry in run(conversations.load_entries("strange"))] == [entry.id for entry in entries]
        record = run(conversations.read_record("strange"))
        assert (record.scope, record.head_id, record.branches) == ("ann", entries[-1].id, [])
        assert run(conversations.read_entry(entries[0].id)) == entries[0]

    def test_a_runs_messages_are_appended_once(self, conversations):
        async def ask(text):
            conversation = await conversations.load("run") or Conversation(conversation_id="run")
            result = await Agent(TestModel()).run(text, conversation=conversation)
            return [entry.message for entry in await conversations.save(result)]

        async def both():
            return [*await ask("one"), *await ask("two")], await conversations.load("run")

        saved, loaded = run(both())
        assert len(saved) == 4
        assert loaded.messages == saved
        assert loaded.usage.requests == 2

    def test_a_limit_is_of_the_last_ones_and_saves_still_append(self, conversations):
        run(conversations.save(talk("c", *range(10))))
        window = run(conversations.load("c", limit=3))
        assert numbers(window) == [7, 8, 9]
        window.messages.append(said(10))
        run(conversations.save(window))
        assert numbers(run(conversations.load("c"))) == list(range(11))
        assert numbers(run(conversations.load("c", limit=0))) == []
        assert numbers(run(conversations.load("c", limit=100))) == list(range(11))
        with pytest.raises(UserError):
            run(conversations.load("c", limit=-1))

    def test_of_two_who_save_one_does(self, conversations):
        run(conversations.save(talk("c", 1)))
        one, other = run(conversations.load("c")), run(conversations.load("c"))
        for conversation, number in ((one, 2), (other, 3)):
            conversation.messages.append(said(number))
        run(conversations.save(one))
        with pytest.raises(ConversationConflict):
            run(conversations.save(other))
        with pytest.raises(ConversationConflict):
            run(conversations.save(talk("c", 1)))
        assert numbers(run(conversations.load("c"))) == [1, 2]
        one.messages.append(said(4))
        run(conversations.save(one))
        assert numbers(run(conversations.load("c"))) == [1, 2, 4]
        old = run(conversations.load("c"))
        run(conversations.delete("c"))
        with pytest.raises(ConversationConflict):
            run(conversations.save(old))

    def test_a_history_that_was_rewritten_branches_off(self, conversations):
        conversation = talk("c", 1, 2, 3)
        entries = run(conversations.save(conversation))
        rewritten = Conversation(
            messages=[said(1), said(9)], conversation_id="c", revision=conversation.revision, new_message_index=None
        )
        run(conversations.save(rewritten))
        assert numbers(run(conversations.load("c"))) == [1, 9]
        assert run(conversations.read_record("c")).branches == [entries[2].id]
        assert numbers(run(conversations.read_history(entries[2].id))) == [1, 2, 3]

    def test_branches_go_back_and_forth(self, conversations):
        conversation = talk("c", *range(6))
        first = run(conversations.save(conversation))
        branched = run(conversations.branch("c", at=2, expected_revision=conversation.revision))
        assert numbers(branched) == [0, 1]
        branched.messages.append(said(7))
        run(conversations.save(branched))
        assert numbers(run(conversations.load("c"))) == [0, 1, 7]
        back = run(conversations.branch("c", from_entry=first[4].id, expected_revision=branched.revision))
        assert numbers(back) == [0, 1, 2, 3, 4]
        assert len(run(conversations.read_record("c")).branches) == 2
        with pytest.raises(ConversationConflict):
            run(conversations.branch("c", at=0, expected_revision=branched.revision))
        with pytest.raises(UserError):
            run(conversations.branch("c", from_entry="nothing", expected_revision=back.revision))
        empty = run(conversations.branch("c", at=0, expected_revision=back.revision))
        assert empty.messages == []

    def test_forks_share_what_was_before_and_outlive_it(self, conversations):
        run(conversations.save(talk("c", *range(5)), scope="ann"))
        fork = run(conversations.fork("c", at=3, new_conversation_id="f"))
        fork.messages.append(said(9))
        run(conversations.save(fork))
        assert numbers(run(conversations.load("f"))) == [0, 1, 2, 9]
        assert numbers(run(conversations.load("c"))) == [0, 1, 2, 3, 4]
        record = run(conversations.read_record("f"))
        assert (record.forked_from, record.scope) == ("c", "ann")
        with pytest.raises(ConversationConflict):
            run(conversations.fork("c", new_conversation_id="f"))
        run(conversations.delete("c"))
        assert run(conversations.load("c")) is None
        assert numbers(run(conversations.load("f"))) == [0, 1, 2, 9]

    def test_they_are_listed_by_scope_the_last_saved_first(self, conversations):
        for number, scope in enumerate(["ann", "bob", "ann", None]):
            run(conversations.save(talk(f"c{number}", number), scope=scope))
        again = run(conversations.load("c0"))
        again.messages.append(said(5))
        run(conversations.save(again))
        listed = lambda **by: [one.conversation_id for one in run(conversations.list_conversations(**by))]  # noqa: E731
        assert listed() == ["c0", "c3", "c2", "c1"]
        assert listed(scope="ann") == ["c0", "c2"]
        assert listed(scope="ann", limit=1) == ["c0"]
        assert listed(limit=0) == []
        assert listed(scope="nobody") == []
        assert run(conversations.load("c1", scope="ann")) is None
        run(conversations.delete("c1", scope="ann"))
        run(conversations.delete("never"))
        assert numbers(run(conversations.load("c1", scope="bob"))) == [1]
        with pytest.raises(ConversationConflict):
            run(conversations.save(run(conversations.load("c1")), scope="ann"))

    def test_a_record_that_points_at_nothing_is_refused(self, conversations):
        for record in (
            ConversationRecord(conversation_id="c", head_id="gone"),
            ConversationRecord(conversation_id="c", head_id=None, revision="x"),
        ):
            with pytest.raises(ConversationConflict):
                run(conversations.write_record(record, expected_revision=None if record.head_id else "another"))
        with pytest.raises(ConversationConflict):
            run(conversations.delete_record("c", expected_revision="x"))
        with pytest.raises(LookupError):
            run(conversations.read_entry("gone"))
        assert run(conversations.read_history(None)) == []

    @pytest.mark.parametrize("seed", range(3))
    def test_histories_of_any_length_with_branches_anywhere_are_what_was_said(self, conversations, seed):
        chance = random.Random(seed)

        async def play():
            conversation, expected, lines = talk("c"), [], {}
            for number in range(24):
                more = [number * 1000 + place for place in range(chance.choice([1, 2, 40, 99, 100, 101]))]
                conversation.messages += [said(one) for one in more]
                expected += more
                entries = await conversations.save(conversation)
                lines[entries[-1].id] = list(expected)
                if number % 4 == 3:
                    at = chance.randint(0, len(expected))
                    conversation = await conversations.branch("c", at=at, expected_revision=conversation.revision)
                    expected = expected[:at]
                    assert numbers(conversation) == expected
                limit = chance.choice([None, 1, 50, 100, 101, 150, 201, 450])
                loaded = await conversations.load("c", limit=limit)
                assert numbers(loaded) == (expected if limit is None else expected[-limit:])
            for head, line in lines.items():
                assert numbers(await conversations.read_history(head)) == line

        run(play())


class TestTheKitItself(Kit):
    @pytest.fixture
    def conversations(self):
        return InMemoryConversationStore()


class TestContract(Kit):
    @pytest.fixture
    def conversations(self, store_of_conversations):
        return store_of_conversations


@ON_SERVERS
def test_those_who_save_at_the_same_moment_lose_nothing(store, store_of_conversations):
    run(store_of_conversations.save(talk("c")))
    others = [store_of_conversations, DataStoreConversationStore(store.agent("ann", "other").asynchronous)]

    async def add(who, number):
        while True:
            conversation = await others[who % 2].load("c")
            conversation.messages.append(said(100 * who + number))
            try:
                return await others[who % 2].save(conversation)
            except ConversationConflict:
                continue

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda who: [run(add(who, number)) for number in range(4)], range(3)))
    loaded = numbers(run(store_of_conversations.load("c")))
    assert sorted(loaded) == sorted(100 * who + number for who in range(3) for number in range(4))
    for who in range(3):
        mine = [number for number in loaded if number // 100 == who]
        assert mine == sorted(mine)


def test_a_save_that_loses_leaves_no_entry(data_store, store_of_conversations):
    run(store_of_conversations.save(talk("c", 1)))
    record = run(store_of_conversations.read_record("c"))

    class Meanwhile(DataStoreConversationStore):
        async def lose(self):
            store = self._store

            class Store:
                def __getattr__(self, name):
                    return getattr(store, name)

                async def add_many(self, items):
                    added = await store.add_many(items)
                    found = await store.get_record("pydantic-ai/c")
                    await store.set("pydantic-ai/c", {**found.value, "revision": "another"})
                    return added

            self._store = Store()
            entry = ConversationEntry(parent_id=record.head_id, message=said(2))
            new = ConversationRecord(conversation_id="c", head_id=entry.id)
            await self.write_record(new, new_entries=[entry], expected_revision=record.revision)

    with pytest.raises(ConversationConflict):
        run(Meanwhile(data_store).lose())
    assert data_store.count(prefix="pydantic-ai-entry/") == 1


def test_what_each_call_asks_for(place, url):
    with counted(place, url) as asked:
        conversations = DataStoreConversationStore(asked.store.agent("ann", "assistant"))

        def cost(call):
            return asked.by(lambda: run(call()))

        conversation = talk("c", *range(350))
        run(conversations.save(conversation))
        conversation.messages += [said(350), said(351)]
        assert cost(lambda: conversations.save(conversation)) == 5  # one of them by the SDK, which looks first
        assert cost(lambda: conversations.load("c", limit=20)) == 3
        assert cost(lambda: conversations.load("c")) == 5
        assert cost(lambda: conversations.read_record("c")) == 1
        assert cost(lambda: conversations.list_conversations()) == 1
        assert asked.read_by(lambda: run(conversations.load("c", limit=20))) == 1 + 20
        assert asked.read_by(lambda: run(conversations.list_conversations())) == 1


class TestHostile:
    def test_conversations_with_strange_names_do_not_meet(self, store_of_conversations):
        names = ["a", "a/b", "a%2Fb", "a:b", "..", " ", "\x00", "日本", "x" * 600, "x" * 601, "entry/a"]
        for number, name in enumerate(names):
            run(store_of_conversations.save(talk(name, number)))
        assert [numbers(run(store_of_conversations.load(name))) for name in names] == [[n] for n in range(len(names))]
        assert {one.conversation_id for one in run(store_of_conversations.list_conversations())} == set(names)
        with pytest.raises(InvalidNameError, match="conversation_id"):
            run(store_of_conversations.load(""))

    def test_what_is_no_entry_is_refused(self, store_of_conversations, data_store):
        (entry,) = run(store_of_conversations.save(talk("c", 1)))
        key = f"pydantic-ai-entry/{entry.id}"
        value = data_store.get(key)
        for member in ("parent", "depth", "path", "message"):
            data_store.set(key, {name: one for name, one in value.items() if name != member})
            with pytest.raises(UnsupportedError, match=f"record '{key}' is not"):
                run(store_of_conversations.load("c"))

    def test_what_another_version_wrote_is_refused(self, store_of_conversations, data_store):
        entries = run(store_of_conversations.save(talk("c", 1)))
        key, value = "pydantic-ai/c", data_store.get("pydantic-ai/c")
        for other in ({**value, "format": 2}, {**value, "format_version": 2}, {**value, "usage": "x"}, [], None):
            data_store.set(key, other)
            for call in (store_of_conversations.load("c"), store_of_conversations.list_conversations()):
                with pytest.raises(UnsupportedError, match="record 'pydantic-ai/c' is not"):
                    run(call)
        data_store.set(key, value)
        key = f"pydantic-ai-entry/{entries[0].id}"
        value = data_store.get(key)
        for other in ({**value, "format": 2}, {**value, "message": {"kind": "new"}}, "x"):
            data_store.set(key, other)
            with pytest.raises(UnsupportedError):
                run(store_of_conversations.load("c"))


def test_idle_conversations_and_what_nobody_uses_are_pruned(url):
    now = [time.time() - 100_000]
    with connect(url, clock=lambda: now[0]) as store:
        data_store = store.agent("ann", "assistant")
        conversations = DataStoreConversationStore(data_store)
        run(conversations.save(talk("old", *range(3))))
        run(conversations.save(talk("kept", *range(5))))
        run(conversations.save(talk("deleted", *range(4))))
        run(conversations.fork("deleted", at=2, new_conversation_id="fork"))
        now[0] = time.time()
        kept = run(conversations.load("kept"))
        kept = run(conversations.branch("kept", at=1, expected_revision=kept.revision))
        run(conversations.save(run(conversations.load("fork"))))
        run(conversations.delete("deleted"))
        assert run(conversations.prune()) == 2
        assert run(conversations.prune(idle=timedelta(days=1))) == 3
        assert [one.conversation_id for one in run(conversations.list_conversations())] == ["fork", "kept"]
        assert numbers(run(conversations.load("fork"))) == [0, 1]
        (tip,) = run(conversations.read_record("kept")).branches
        assert numbers(run(conversations.read_history(tip))) == list(range(5))
        run(conversations.delete("kept"))
        run(conversations.save(talk("young", 1)))
        run(conversations.delete("young"))
        assert run(conversations.prune()) == 5  # and what is young may be of one that is just being saved
        with pytest.raises(InvalidValueError, match="idle"):
            run(conversations.prune(idle=0))


class TestLargeMessages:
    """A message of more than 1 MB is in a blob."""

    @staticmethod
    def with_large(id):
        talked = talk(id, 1)
        talked.messages.append(ModelRequest(parts=[UserPromptPart(content="x" * 1_000_001, timestamp=AT)]))
        return talked

    def test_it_is_loaded_as_it_was_saved(self, store_of_conversations, data_store):
        large = self.with_large("c")
        entries = run(store_of_conversations.save(large))
        assert run(store_of_conversations.load("c")).messages == large.messages
        assert run(store_of_conversations.read_entry(entries[1].id)) == entries[1]
        (blob,) = data_store.blobs.list("pydantic-ai-entry/")
        assert blob.metadata == {"key": f"pydantic-ai-entry/{entries[1].id}"}
        data_store.blobs.delete(blob.name, grace=0)
        with pytest.raises(DamagedRecordError, match="blob"):
            run(store_of_conversations.load("c"))

    def test_pruning_takes_its_blob_with_it_and_no_other(self, url):
        now = [time.time() - 100_000]
        with connect(url, clock=lambda: now[0]) as store:
            data_store = store.agent("ann", "assistant")
            conversations = DataStoreConversationStore(data_store)
            run(conversations.save(self.with_large("deleted")))
            run(conversations.save(self.with_large("kept")))
            data_store.blobs.put("pydantic-ai-entry/old", b"", metadata={"key": "of a save that was cut off"})
            now[0] = time.time()
            run(conversations.delete("deleted"))
            run(conversations.save(self.with_large("young")))
            data_store.blobs.put("pydantic-ai-entry/new", b"", metadata={"key": "of one that is under way"})
            assert run(conversations.prune()) == 2
            assert len(data_store.blobs.list("pydantic-ai-entry/")) == 3
            for name in ("kept", "young"):
                assert run(conversations.load(name)).messages == self.with_large(name).messages


class TestWhoseItIs:
    def test_users_and_namespaces_have_conversations_of_their_own(self, store, store_of_conversations):
        run(store_of_conversations.save(talk("c", 1)))
        for other in (store.agent("bob", "assistant"), store.agent("ann", "assistant", "other")):
            assert run(DataStoreConversationStore(other).load("c")) is None
            assert run(DataStoreConversationStore(other).list_conversations()) == []

    def test_grants_quotas_and_provenance_hold(self, store, store_of_conversations, data_store):
        run(store_of_conversations.save(talk("c", 1)))
        reader = DataStoreConversationStore(store.agent("ann", "reader", grants={"default": "read"}))
        assert numbers(run(reader.load("c"))) == [1]
        for call in (reader.save(talk("new", 1)), reader.delete("c")):
            with pytest.raises(PermissionDeniedError):
                run(call)
        small = DataStoreConversationStore(store.agent("ann", "small", quota=Quota(records=3)))
        with pytest.raises(QuotaExceededError):
            run(small.save(talk("large", *range(5))))
        assert run(store_of_conversations.load("large")) is None
        assert data_store.get_record("pydantic-ai/c").created_by_agent == "assistant"
