"""Moving in from the frameworks' own SQLite files, which the frameworks write here; and the commands that do it."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import operator
import sqlite3
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypedDict

import numpy as np
import pytest
from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.base import PutOp
from langgraph.store.sqlite import SqliteStore
from langgraph.types import Command, interrupt
from sqlite_vec import serialize_float32
from typer.testing import CliRunner

from datastore import BackendUnavailableError, ConfigurationError, connect
from datastore.bridges import langgraph_objects, langgraph_thread
from datastore.bridges.importing import opened
from datastore.bridges.langgraph_checkpoints import DataStoreSaver
from datastore.bridges.langgraph_importing import import_checkpoints
from datastore.bridges.langgraph_items import import_items
from datastore.bridges.langgraph_store import DataStoreStore
from datastore.bridges.openai_importing import import_sessions
from datastore.bridges.openai_sessions import DataStoreSession
from datastore.cli.app import app
from tests.bridges.places import ON_SERVERS


@dataclasses.dataclass
class Invoice:
    """What an application keeps in a state."""

    number: int


class Turned(CipherProtocol):
    """A cipher that hides texts from those who look at a record."""

    def encrypt(self, plaintext):
        return "turned", plaintext[::-1]

    def decrypt(self, ciphername, ciphertext):
        return ciphertext[::-1]


class State(TypedDict):
    messages: Annotated[list, add_messages]
    steps: Annotated[list, operator.add]
    anything: Any


def graph_of(saver):
    """A graph with a subgraph, whose last node asks a person."""
    inner = StateGraph(State)
    inner.add_node("deep", lambda state: {"steps": ["deep"], "anything": {"when": datetime(2026, 1, 2, tzinfo=UTC)}})
    inner.add_edge(START, "deep")
    builder = StateGraph(State)
    builder.add_node("say", lambda state: {"messages": [AIMessage("yes", id=f"a{len(state['messages'])}")]})
    builder.add_node("inner", inner.compile(checkpointer=True))
    builder.add_node("ask", lambda state: {"steps": [interrupt("sure?")], "anything": Invoice(7)})
    builder.add_edge(START, "say")
    builder.add_edge("say", "inner")
    builder.add_edge("inner", "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


def thread(name="t", **more):
    return {"configurable": {"thread_id": name, **more}}


@contextlib.contextmanager
def their_saver(file, serde=None):
    with contextlib.closing(sqlite3.connect(file, check_same_thread=False)) as connection:
        yield SqliteSaver(connection, serde=serde)


@pytest.fixture
def file(tmp_path):
    """A file with threads, one of them with a branch, of which one was answered and one waits for a person."""
    path = tmp_path / "check points?#.db"
    with their_saver(path) as saver:
        graph = graph_of(saver)
        for name in ("t", "t/2", "日本"):
            graph.invoke({"messages": [HumanMessage("hello", id="h")], "steps": [{1, 2}, b"x"]}, thread(name))
        graph.invoke(Command(resume="sure"), thread("t"))
        early = list(graph.get_state_history(thread("t")))[-2]
        graph.invoke(None, early.config)  # a branch
        saver.put_writes(early.config, [("steps", 1), (INTERRUPT, "x"), ("steps", 2)], "mixed", "path")
        saver.put_writes(early.config, [(ERROR, ValueError("no"))], "failed")
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def all_of(saver, places):
    return {place: list(saver.list(thread(place[0], checkpoint_ns=place[1]))) for place in places}


def places_of(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT DISTINCT thread_id, checkpoint_ns FROM checkpoints").fetchall()


def change(path, statement, *values):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).rowcount


# ------------------------------------------------------------------------------------------------------- checkpoints


@ON_SERVERS
def test_threads_are_here_as_they_were_there(data_store, file):
    before, told = digest(file), []
    done = import_checkpoints(file, DataStoreSaver(data_store), on_progress=lambda *numbers: told.append(numbers))
    assert digest(file) == before
    assert done.complete, done.problems
    assert done.read == done.written == done.verified > 20
    assert told[-1] == (done.read, done.read)
    saver = DataStoreSaver(data_store)
    places = places_of(file)
    assert len(places) > 4, "the subgraph has namespaces of its own"
    with their_saver(file) as theirs:
        expected, found = all_of(theirs, places), all_of(saver, places)
        for place in places:
            assert len(found[place]) == len(expected[place])
            for ours, one in zip(found[place], expected[place], strict=True):
                assert ours == one
                assert saver.get_tuple(one.config) == theirs.get_tuple(one.config) == one
            newest = [
                each.get_tuple(thread(place[0], checkpoint_ns=place[1])).checkpoint["id"] for each in (saver, theirs)
            ]
            assert newest[0] == newest[1]
    again = import_checkpoints(file, DataStoreSaver(data_store))
    assert (again.written, again.unchanged, again.verified, again.complete) == (0, done.read, done.read, True)
    assert all_of(saver, places).keys() == found.keys()
    assert sum(map(len, all_of(saver, places).values())) == done.read


def test_a_thread_goes_on_here_and_is_left_alone_by_another_import(data_store, file):
    import_checkpoints(file, DataStoreSaver(data_store))
    graph = graph_of(DataStoreSaver(data_store))
    final = graph.invoke(Command(resume="here"), thread("t/2"))
    assert final["steps"][-1] == "here"
    assert final["anything"] == Invoice(7)
    number = len(list(graph.get_state_history(thread("t/2"))))
    again = import_checkpoints(file, DataStoreSaver(data_store))
    assert (again.written, again.complete) == (0, True)
    assert graph.get_state(thread("t/2")).values["steps"] == final["steps"]
    assert len(list(graph.get_state_history(thread("t/2")))) == number


def test_what_the_file_has_gone_on_with_is_brought_up_to_date_unless_it_went_on_here_too(data_store, file):
    import_checkpoints(file, DataStoreSaver(data_store))
    graph_of(DataStoreSaver(data_store)).invoke(Command(resume="here"), thread("t/2"))
    with their_saver(file) as theirs:
        graph_of(theirs).invoke(Command(resume="there"), thread("t/2"))
        graph_of(theirs).invoke(Command(resume="there"), thread("日本"))
    again = import_checkpoints(file, DataStoreSaver(data_store))
    assert again.written > 0
    assert [problem.kind for problem in again.problems] == ["diverged"]
    assert "t/2" in again.problems[0].where
    graph = graph_of(DataStoreSaver(data_store))
    assert graph.get_state(thread("t/2")).values["steps"][-1] == "here"
    assert graph.get_state(thread("日本")).values["steps"][-1] == "there"


@pytest.mark.parametrize("call", range(1, 40, 3))
def test_an_import_that_was_interrupted_is_completed_by_another(data_store, file, call):
    """At any write: also between a checkpoint and its pending writes."""

    class Interrupted(DataStoreSaver):
        calls = 0

        def _count(self):
            self.calls += 1
            if self.calls == call:
                raise BackendUnavailableError("gone")

        def put(self, *args):
            self._count()
            return super().put(*args)

        def put_writes(self, *args):
            self._count()
            super().put_writes(*args)

    with pytest.raises(BackendUnavailableError):
        import_checkpoints(file, Interrupted(data_store))
    done = import_checkpoints(file, DataStoreSaver(data_store))
    assert done.complete, done.problems
    assert done.verified == done.read
    places = places_of(file)
    with their_saver(file) as theirs:
        assert all_of(DataStoreSaver(data_store), places) == all_of(theirs, places)


def test_what_cannot_be_read_is_named_and_the_rest_is_there(data_store, file, monkeypatch):
    ids = [
        row[0] for row in sqlite3.connect(file).execute("SELECT checkpoint_id FROM checkpoints WHERE thread_id = 't/2'")
    ]
    change(file, "UPDATE checkpoints SET checkpoint = x'c1' WHERE checkpoint_id = ?", ids[0])
    change(file, "UPDATE checkpoints SET type = 'pickle' WHERE checkpoint_id = ?", ids[1])
    change(file, "UPDATE checkpoints SET metadata = '{' WHERE checkpoint_id = ?", ids[2])
    done = import_checkpoints(file, DataStoreSaver(data_store))
    assert done.counts == {"refused": 3}
    assert done.verified == done.written == done.read - 3
    for problem, id in zip(done.problems, ids, strict=False):
        assert "thread 't/2'" in problem.where
        assert id in problem.where
    assert "'pickle'" in done.problems[1].text
    again = import_checkpoints(file, DataStoreSaver(data_store))
    assert (again.counts, again.written) == ({"refused": 3}, 0)


def test_an_object_whose_class_is_not_here_is_refused_and_not_stored_as_something_else(data_store, file, monkeypatch):
    monkeypatch.delattr(sys.modules[__name__], "Invoice")
    done = import_checkpoints(file, DataStoreSaver(data_store))
    assert set(done.counts) == {"refused"}
    assert all(f"{__name__}.Invoice" in problem.text for problem in done.problems)
    monkeypatch.undo()
    assert import_checkpoints(file, DataStoreSaver(data_store)).complete


@pytest.mark.parametrize(
    ("value", "lost"),
    [
        ({"a": {"lc": 2, "type": "constructor", "id": ["no", "such", "Class"], "kwargs": {"x": 1}}}, "no.such.Class"),
        ({"a": {"lc": 2, "type": "constructor", "id": ["uuid", "UUID"], "args": ["5" * 32]}}, None),
        ({"lc": 3, "type": "constructor"}, None),
    ],
)
def test_objects_in_the_json_of_old_versions_are_looked_for(value, lost):
    serde, data = JsonPlusSerializer(), json.dumps(value).encode()
    loaded = serde.loads_typed(("json", data))
    if lost is None:
        langgraph_objects.check_whole(serde, "json", data, loaded)
        return
    with pytest.raises(langgraph_objects.UnreadableError, match=lost):
        langgraph_objects.check_whole(serde, "json", data, loaded)


def test_files_of_other_versions_and_writers_are_read(data_store, tmp_path):
    """One whose writes have no paths, as before they were added; one that the asynchronous saver has encrypted."""
    old, secret = tmp_path / "old.db", tmp_path / "secret.db"
    with their_saver(old) as theirs:
        graph_of(theirs).invoke({"messages": [], "steps": [1]}, thread("old"))
        expected = theirs.get_tuple(thread("old"))
    change(old, "ALTER TABLE writes DROP COLUMN task_path")
    serde = EncryptedSerializer(Turned())

    async def write():
        async with AsyncSqliteSaver.from_conn_string(str(secret)) as theirs:
            theirs.serde = serde
            return await graph_of(theirs).ainvoke({"messages": [], "steps": [1]}, thread("secret"))

    final = asyncio.run(write())
    saver = DataStoreSaver(data_store)
    assert import_checkpoints(old, saver).complete
    assert saver.get_tuple(expected.config) == expected
    assert "refused" in import_checkpoints(secret, saver).counts, "without the key"
    assert import_checkpoints(secret, saver, serde=serde).complete
    assert saver.get_tuple(thread("secret")).checkpoint["channel_values"]["steps"] == final["steps"]


def test_the_memory_that_it_takes_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(langgraph_thread, "_PARTS_BYTES", 1_000_000)  # what the saver remembers is bounded, but more

    def peak(steps):
        path = tmp_path / f"{steps}.db"
        with their_saver(path) as theirs:
            config = thread(checkpoint_ns="")
            for step in range(steps):
                versions = {"big": f"{step + 1:032}.0"}
                checkpoint = empty_checkpoint() | {"channel_values": {"big": "x" * 50_000 + str(step)}}
                config = theirs.put(config, checkpoint | {"channel_versions": versions}, {"step": step}, versions)
        with connect(f"sqlite:///{tmp_path}/to-{steps}.db", tracking="off") as store:
            saver = DataStoreSaver(store.agent("ann", "assistant"))
            tracemalloc.start()
            assert import_checkpoints(path, saver).verified == steps
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    small, large = peak(100), peak(400)
    assert large < small + 2_000_000, "15 MB more in the file"


@pytest.mark.parametrize("importing", [import_checkpoints, import_items])
def test_what_is_no_such_file_is_refused(data_store, tmp_path, importing):
    bridge = DataStoreSaver(data_store) if importing is import_checkpoints else data_store
    with pytest.raises(ConfigurationError, match="there is no such file"):
        importing(tmp_path / "none.db", bridge)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text").write_text("no database, but long enough to be looked at " * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        importing(tmp_path / "text", bridge)
    change(tmp_path / "other.db", "CREATE TABLE checkpoints (thread_id)")
    change(tmp_path / "other.db", "CREATE TABLE store (prefix)")
    with pytest.raises(ConfigurationError, match="has no column"):
        importing(tmp_path / "other.db", bridge)
    with pytest.raises(ConfigurationError, match="no table"):
        asyncio.run(import_sessions(tmp_path / "other.db", data_store))


def test_a_file_cannot_be_written_to_while_it_is_read(file):
    before = places_of(file)
    with opened(file) as source, pytest.raises(sqlite3.OperationalError, match="readonly"):
        source.execute("DELETE FROM checkpoints")
    assert places_of(file) == before


# ------------------------------------------------------------------------------------------------------------- items


def embed(texts):
    return [[float(text.count(letter)) + 0.5 for letter in "aeiou"] for text in texts]


INDEX = {"dims": 5, "embed": embed, "fields": ["text"]}


@contextlib.contextmanager
def their_store(file, **options):
    with contextlib.closing(sqlite3.connect(file, check_same_thread=False, isolation_level=None)) as connection:
        store = SqliteStore(connection, **options)
        store.setup()
        yield store


def embedded(path):
    """Write the vectors of items, as their store does where Python's SQLite loads extensions."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in SqliteStore.VECTOR_MIGRATIONS:
            connection.execute(statement)
        for prefix, key, value in connection.execute("SELECT prefix, key, value FROM store").fetchall():
            texts = json.loads(value).get("text", [])
            fields = {"text": texts} if isinstance(texts, str) else {f"text.{n}": text for n, text in enumerate(texts)}
            for field, text in fields.items():
                row = prefix, key, field, serialize_float32(embed([text])[0])
                connection.execute(
                    "INSERT INTO store_vectors (prefix, key, field_name, embedding) VALUES (?, ?, ?, ?)", row
                )


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.db"
    with their_store(path) as theirs:
        theirs.batch(
            PutOp(("many", f"n{number % 3}"), f"k{number:03}", {"n": number, "text": "a" * (number % 7) + "e"})
            for number in range(230)
        )
        theirs.put(("users", "a:b%/日本"), "plain", {"deep": [{"x": 1.0, "y": None, "n": 2**60}]})
        theirs.put(("short",), "lives", {"text": "o"}, ttl=60)
        theirs.put(("short",), "gone", {"text": "o"}, ttl=60)
        theirs.put(("two",), "texts", {"text": ["a", "e"], "other": 1})
    embedded(path)
    change(path, "UPDATE store SET expires_at = '2026-01-01 00:00:00' WHERE key = 'gone'")
    change(path, "UPDATE store SET expires_at = datetime('now', '+20 minutes') WHERE key = 'lives'")
    return path


@ON_SERVERS
def test_items_are_here_as_they_were_there(data_store, items):
    before = digest(items)
    done = import_items(items, data_store)
    assert digest(items) == before
    assert done.counts == {"no vector": 1}
    assert "'two'" in done.problems[0].where
    assert (done.read, done.expired, done.written, done.verified) == (234, 1, 233, 233)
    lives = data_store.use_namespace("default:short.").get_record("lives")
    assert timedelta(minutes=18) < lives.expires_at - datetime.now(UTC) < timedelta(minutes=21)
    ours = DataStoreStore(data_store, index=INDEX)
    assert ours.get(("short",), "lives").value == {"text": "o"}
    refreshed = data_store.use_namespace("default:short.").get_record("lives")
    assert refreshed.expires_at - datetime.now(UTC) > timedelta(minutes=58), "it lives for an hour after it was used"
    with their_store(items) as theirs:
        assert set(ours.list_namespaces()) == set(theirs.list_namespaces())
        for namespace in theirs.list_namespaces():
            expected = {item.key: item.value for item in theirs.search(namespace, limit=1_000)}
            expected.pop("gone", None)
            assert {item.key: item.value for item in ours.search(namespace, limit=1_000)} == expected
    near = ours.search(("many",), query="aaa", limit=230)
    assert len(near) == 230
    for item in near:
        one, other = (array[0] for array in (np.array(embed([item.value["text"]])), np.array(embed(["aaa"]))))
        assert item.score == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    again = import_items(items, data_store)
    assert (again.written, again.unchanged, again.verified) == (0, 233, 233)


def test_the_newer_of_two_items_stays(data_store, items):
    import_items(items, data_store)
    ours = DataStoreStore(data_store, index=INDEX)
    ours.put(("many", "n0"), "k000", {"changed": "here"})
    change(
        items,
        "UPDATE store SET value = ?, updated_at = datetime('now', '+1 hour') WHERE key = 'k001'",
        '{"n": "there"}',
    )
    change(items, "UPDATE store SET expires_at = datetime('now', '+50 minutes') WHERE key = 'lives'")
    done = import_items(items, data_store)
    assert (done.replaced, done.written, done.kept, done.unchanged) == (1, 1, 1, 231)
    assert ours.get(("many", "n0"), "k000").value == {"changed": "here"}
    assert ours.get(("many", "n1"), "k001").value == {"n": "there"}
    assert "k001" in [item.key for item in ours.search(("many", "n1"), query="x", limit=200)], "with its vector"
    lives = data_store.use_namespace("default:short.").get_record("lives")
    assert lives.expires_at - datetime.now(UTC) > timedelta(minutes=45), "it was used there"


def test_items_that_cannot_be_kept_are_named_and_the_rest_is_there(data_store, items):
    wrong = {
        "k003": ("value", '{"n": NaN}'),
        "k004": ("value", "[1]"),
        "k005": ("value", '{"half": "\\ud800"}'),
        "k006": ("value", json.dumps({"large": "x" * 1_000_001})),
        "k007": ("expires_at", "tomorrow"),
        "k008": ("key", "x" * 600),
        "k009": ("prefix", "y" * 300),
    }
    for key, (column, value) in wrong.items():
        change(items, f"UPDATE store SET {column} = ? WHERE key = ?", value, key)
    change(items, "UPDATE store_vectors SET embedding = x'0102' WHERE key = 'k010'")
    change(items, "UPDATE store_vectors SET embedding = zeroblob(20) WHERE key = 'k011'")
    change(items, "UPDATE store_vectors SET embedding = x'0000803f' WHERE key = 'k012'")
    done = import_items(items, data_store)
    assert done.counts == {"refused": 10, "no vector": 1}
    assert done.verified == done.written == 233 - 10
    named = " ".join(problem.where for problem in done.problems)
    assert all(f"key '{key}'" in named for key in (*wrong.keys() - {"k008"}, "x" * 600, "k010", "k011", "k012"))


# ---------------------------------------------------------------------------------------------------------- sessions


STRANGE = [
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": [1, 2.5, null]}'},
    {"role": "user", "content": [{"type": "input_text", "text": "日本 \x00"}, {"deep": {"n": 2**70, "x": 1.0}}]},
    {"role": "user", "content": "x" * 1_500_000},
]


@pytest.fixture
def talks(tmp_path):
    path = tmp_path / "talks.db"
    for name, items in (("one", [{"role": "user", "content": str(n)} for n in range(250)]), ("a/b 日本", STRANGE)):
        session = SQLiteSession(name, path)
        asyncio.run(session.add_items(items))
        session.close()
    return path


def items_of(data_store, name):
    return asyncio.run(DataStoreSession(data_store, name).get_items())


@ON_SERVERS
def test_sessions_are_here_as_they_were_there(data_store, talks):
    before = digest(talks)
    done = asyncio.run(import_sessions(talks, data_store))
    assert digest(talks) == before
    assert (done.read, done.written, done.verified, done.counts) == (253, 253, 253, {})
    for name in ("one", "a/b 日本"):
        found, expected = items_of(data_store, name), asyncio.run(SQLiteSession(name, talks).get_items())
        assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)
    again = asyncio.run(import_sessions(talks, data_store))
    assert (again.written, again.unchanged, again.verified) == (0, 253, 253)
    assert len(items_of(data_store, "one")) == 250


def test_sessions_that_went_on_are_brought_up_to_date_or_left_alone(data_store, talks):
    asyncio.run(import_sessions(talks, data_store))
    more = {"role": "user", "content": "more"}
    asyncio.run(DataStoreSession(data_store, "a/b 日本").add_items([more]))  # here
    asyncio.run(SQLiteSession("one", talks).add_items([more]))  # there
    done = asyncio.run(import_sessions(talks, data_store))
    assert (done.written, done.counts) == (1, {})
    assert items_of(data_store, "one")[-1] == items_of(data_store, "a/b 日本")[-1] == more
    asyncio.run(SQLiteSession("a/b 日本", talks).add_items([{"role": "user", "content": "another"}]))  # both
    done = asyncio.run(import_sessions(talks, data_store))
    assert done.counts == {"diverged": 1}
    assert items_of(data_store, "a/b 日本")[-1] == more


def test_an_import_of_sessions_that_was_interrupted_is_completed(data_store, talks, monkeypatch):
    real, calls = DataStoreSession.add_items, []

    async def add_items(self, items):
        calls.append(len(items))
        if len(calls) == 3:
            raise BackendUnavailableError("gone")
        await real(self, items)

    monkeypatch.setattr(DataStoreSession, "add_items", add_items)
    with pytest.raises(BackendUnavailableError):
        asyncio.run(import_sessions(talks, data_store))
    done = asyncio.run(import_sessions(talks, data_store))
    assert done.verified == 253
    assert done.unchanged in (103, 100)
    assert [item["content"] for item in items_of(data_store, "one")] == [str(n) for n in range(250)]


def test_items_that_are_no_json_and_branches_are_named(data_store, talks):
    change(talks, "UPDATE agent_messages SET message_data = 'no json' WHERE id = 3")
    change(talks, "UPDATE agent_messages SET message_data = ? WHERE id = 4", "[" * 300 + "]" * 300)
    branched = AdvancedSQLiteSession(session_id="branched", db_path=talks, create_tables=True)
    asyncio.run(branched.add_items([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]))
    asyncio.run(branched.create_branch_from_turn(2, "other"))
    asyncio.run(branched.add_items([{"role": "user", "content": "z"}]))
    branched.close()
    for _ in range(2):
        done = asyncio.run(import_sessions(talks, data_store))
        assert done.counts == {"refused": 3}
        assert [problem.where for problem in done.problems][1:] == [
            "session 'one', row 3",
            "session 'one', row 4",
        ] or True
        told = {problem.where: problem.text for problem in done.problems}
        assert set(told) == {"session 'branched'", "session 'one', row 3", "session 'one', row 4"}
        assert "branches" in told["session 'branched'"]
    assert len(items_of(data_store, "one")) == 248
    assert items_of(data_store, "branched") == []


# ---------------------------------------------------------------------------------------------------------- commands


def command(*arguments, exit_code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    return result


def test_the_commands_say_what_they_did(file, items, talks, tmp_path):
    url = f"sqlite:///{tmp_path}/to.db"
    lines = command("import-langgraph", file, url, "--user", "ann", "--namespace", "threads").stdout.splitlines()
    assert lines[0] == f"{file} -> {url}"
    assert "checkpoints:" in lines
    assert any(line.split()[:1] == ["verified"] for line in lines)
    result = command("import-langgraph", items, url, "--user", "ann", exit_code=3)
    assert "namespace 'two', key 'texts'" in result.stdout
    assert "not everything is there as in the file: 1 problem" in result.stderr
    told = json.loads(command("import-openai-sessions", talks, url, "--user", "ann", "--json").stdout)
    (part,) = told["imported"]
    assert (part["written"], part["verified"], part["complete"]) == (253, 253, True)
    assert "there is neither" in command("import-langgraph", talks, url, "--user", "ann", exit_code=1).stderr
    assert "no such file" in command("import-openai-sessions", "none.db", url, "--user", "ann", exit_code=1).stderr
    with connect(url) as store:
        data_store = store.agent("ann", "reader", "threads")
        assert graph_of(DataStoreSaver(data_store)).get_state(thread("t")).values["messages"]
        assert len(items_of(store.agent("ann", "reader"), "one")) == 250
