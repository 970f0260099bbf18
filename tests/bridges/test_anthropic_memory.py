"""The memory tool of Anthropic's SDK, beside the SDK's own, which keeps files on a disk: the texts are the same."""

import asyncio
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from anthropic.lib.tools import ToolError
from anthropic.tools import BetaAsyncLocalFilesystemMemoryTool, BetaLocalFilesystemMemoryTool

import datastore
from datastore import InvalidValueError, Quota, UnsupportedError, connect
from datastore.bridges.anthropic_memory import AsyncDataStoreMemoryTool, DataStoreMemoryTool
from tests.bridges.counting import counted

DIRECTORY = re.compile(r"^\S+\t(/\S*/|/memories\S*)$", re.MULTILINE)


def asked(tool, command, **fields):
    """Return what the model reads, without the sizes of directories, which each file system counts in its own way."""
    try:
        said = tool.call({"command": command, **fields})
        if asyncio.iscoroutine(said):
            said = asyncio.run(said)
    except ToolError as error:
        return f"error: {error}"
    except (OSError, ValueError):
        if not isinstance(tool, BetaLocalFilesystemMemoryTool | BetaAsyncLocalFilesystemMemoryTool):
            raise
        return "error without a text"
    if said.startswith("Here're the files"):
        head, first, *lines = said.split("\n")
        return "\n".join([head, first.partition("\t")[2], *(re.sub(r"^\S+(\t.*/)$", r"\1", line) for line in lines)])
    return said


def same(ours, theirs, command, **fields):
    """Ask both tools, and return what both have said."""
    one, other = asked(ours, command, **fields), asked(theirs, command, **fields)
    if other == "error without a text":
        assert one.startswith("error: "), (command, fields, one)
    else:
        assert one == other, (command, fields)
    return one


@pytest.fixture(params=["blocking", "awaited"])
def tools(request, data_store, tmp_path):
    """Ours and the SDK's."""
    if request.param == "blocking":
        return DataStoreMemoryTool(data_store), BetaLocalFilesystemMemoryTool(tmp_path / "own")
    return AsyncDataStoreMemoryTool(data_store), BetaAsyncLocalFilesystemMemoryTool(tmp_path / "own")


@pytest.fixture
def tool(data_store):
    return DataStoreMemoryTool(data_store)


def test_each_command_says_what_the_sdks_own_tool_says(tools):
    say = lambda *args, **fields: same(*tools, *args, **fields)  # noqa: E731
    say("view", path="/memories")
    say("create", path="/memories/notes.txt", file_text="one\ntwo\nthree\nfour\nfive\nsix\n")
    say("create", path="/memories/notes.txt", file_text="again")
    say("create", path="/memories/deep/er/and/deeper.md", file_text="x" * 1536)
    say("create", path="/memories/.hidden/secret", file_text="x")
    say("create", path="/memories/deep/.hidden", file_text="x")
    say("create", path="/memories/deep-.txt", file_text="ä" * 2_000)
    say("create", path="/memories/empty", file_text="")
    for path in (
        "/memories",
        "/memories/",
        "/memories/deep",
        "/memories/deep/",
        "/memories/.hidden",
        "/memories/nothing",
    ):
        say("view", path=path)
    for view_range in (None, [2, 3], [5, -1], [0, 2], [3, 100], [9, 12], [4, 2], [-3, -1], [2]):
        say("view", path="/memories/notes.txt", view_range=view_range)
    say("view", path="/memories/empty")
    say("str_replace", path="/memories/notes.txt", old_str="three", new_str="3\n3½")
    say("str_replace", path="/memories/notes.txt", old_str="e", new_str="?")
    say("str_replace", path="/memories/notes.txt", old_str="seven", new_str="?")
    say("str_replace", path="/memories/notes.txt", old_str="", new_str="?")
    say("str_replace", path="/memories/empty", old_str="", new_str="full")
    say("str_replace", path="/memories/deep", old_str="a", new_str="b")
    say("str_replace", path="/memories/nothing", old_str="a", new_str="b")
    say("str_replace", path="/memories", old_str="a", new_str="b")
    for line in (0, 3, 8, 9, -1):
        say("insert", path="/memories/notes.txt", insert_line=line, insert_text=f"at {line}\n\n")
    say("insert", path="/memories/deep/er", insert_line=0, insert_text="x")
    say("insert", path="/memories/nothing", insert_line=0, insert_text="x")
    say("view", path="/memories/notes.txt")
    say("rename", old_path="/memories/deep", new_path="/memories/other/place")
    say("rename", old_path="/memories/notes.txt", new_path="/memories/other/notes.txt")
    say("rename", old_path="/memories/nothing", new_path="/memories/new/nothing")
    say("rename", old_path="/memories/empty", new_path="/memories/other")
    say("rename", old_path="/memories", new_path="/memories/x")
    say("rename", old_path="/memories/empty", new_path="/memories")
    say("view", path="/memories")
    say("view", path="/memories/other/place")
    say("delete", path="/memories/other/place/er/and/deeper.md")
    say("view", path="/memories/other/place/er")
    for path in ("/memories/other/place/er", "/memories/other", "/memories/other", "/memories/nothing", "/memories"):
        say("delete", path=path)
    say("view", path="/memories")
    ours, theirs = tools
    assert asked_all(ours.clear_all_memory) == asked_all(theirs.clear_all_memory) == "All memory cleared"
    say("view", path="/memories")


def asked_all(call):
    said = call()
    return asyncio.run(said) if asyncio.iscoroutine(said) else said


@pytest.mark.parametrize("seed", range(5))
def test_so_it_does_after_any_commands(seed, tool, tmp_path):
    theirs = BetaLocalFilesystemMemoryTool(tmp_path / "own")
    chance = random.Random(seed)
    names = ["a", "b", "a.txt", ".h", "a-", "é", "B", "a b"]
    texts = ["", "\n", "one\ntwo\n", "one\r\ntwo", "aaa\n\naa", "x" * 3000, "\u2028 line\x0b\x0c\x85"]

    def path():
        made = "/memories/" + "/".join(chance.choices(names, k=chance.choice([1, 1, 2, 2, 3, 4])))
        return chance.choice([made] * 8 + [made + "/", made.replace("/", "//"), made + "/../a", "/memories"])

    for _ in range(100):
        command = chance.choices(["create", "view", "str_replace", "insert", "delete", "rename"], [6, 3, 3, 3, 1, 3])[0]
        if command == "rename":
            old, new = path(), path()
            if tool_would_move_into_itself(old, new):
                continue
            same(tool, theirs, command, old_path=old, new_path=new)
        else:
            same(
                tool, theirs, command, path=path(), file_text=chance.choice(texts), insert_text=chance.choice(texts),
                insert_line=chance.randint(-1, 4), old_str=chance.choice(["a", "one", "\n", "", "aa", "x"]),
                new_str=chance.choice(texts), view_range=chance.choice([None, [1, 2], [2, -1]]),
            )  # fmt: skip
        same(tool, theirs, "view", path="/memories")


def tool_would_move_into_itself(old, new):
    """The SDK's tool makes the directories on the way first, so that what is missing is there, and then fails."""
    old, new = (re.sub("/+", "/", path).rstrip("/") + "/" for path in (old, new))
    return new.startswith(old)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "memories/a", "", "/", "/memory", "/memories/../etc/passwd", "/memories/..",
        "/memories/a/../../b", "/memories/../memories2/a", "/memories/../../memories", "../memories", "/MEMORIES/a", "file:///memories/a",
    ],
)  # fmt: skip
def test_no_path_leaves_the_memories(path, tools, data_store):
    data_store.set_many({"etc/passwd": 1, "b": 1, "memories2/a": 1, "memory": 1})
    before = data_store.get_all()
    for command, fields in {
        "view": {"path": path},
        "create": {"path": path, "file_text": "x"},
        "str_replace": {"path": path, "old_str": "a", "new_str": "b"},
        "insert": {"path": path, "insert_line": 0, "insert_text": "x"},
        "delete": {"path": path},
        "rename": {"old_path": path, "new_path": "/memories/new"},
    }.items():
        assert re.match(r"error: Path (must start with /memories|.* would escape)", same(*tools, command, **fields))
    assert asked(tools[0], "rename", old_path="/memories/x", new_path=path).startswith("error: Path")
    assert data_store.get_all() == before


def test_what_is_stored_can_be_read_by_people(tool, data_store):
    asked(tool, "create", path="/memories/a/b.txt", file_text="hé\n")
    assert data_store.get_all() == {
        "memories/a/": {"format": 1, "directory": True},
        "memories/a/b.txt": {"format": 1, "size": 4, "text": "hé\n"},
    }
    assert data_store.get_record("memories/a/b.txt").created_by_agent == "assistant"


def test_what_each_command_asks_for(place, url):
    with counted(place, url) as counts:
        tool = DataStoreMemoryTool(counts.store.agent("ann", "assistant"))

        def cost(command, **fields):
            return counts.by(lambda: asked(tool, command, **fields))

        assert cost("create", path="/memories/d/a.txt", file_text="one") == 2
        assert cost("view", path="/memories/d/a.txt") == 1
        assert cost("view", path="/memories") == 1
        assert cost("view", path="/memories/d") == 2
        assert cost("str_replace", path="/memories/d/a.txt", old_str="one", new_str="two") == 2
        assert cost("insert", path="/memories/d/a.txt", insert_line=0, insert_text="one") == 2
        assert cost("rename", old_path="/memories/d/a.txt", new_path="/memories/d/b.txt") == 3
        assert cost("delete", path="/memories/d/b.txt") == 1
        assert cost("view", path="/etc") == 0


def test_a_directory_costs_what_it_shows_and_not_what_is_below_or_hidden(place, url):
    with counted(place, url) as counts:
        data_store = counts.store.agent("ann", "assistant")
        tool = DataStoreMemoryTool(data_store)
        for directory in ("a/b", ".h", "a/.h"):
            asked(tool, "create", path=f"/memories/{directory}/first", file_text="x")
            file = data_store.get(f"memories/{directory}/first")
            data_store.set_many({f"memories/{directory}/{number:05}/{number % 7}": file for number in range(5_000)})
        asked(tool, "create", path="/memories/z", file_text="x")
        said = asked(tool, "view", path="/memories")
        assert said.split("\n")[1:] == ["/memories", "\t/memories/a/", "\t/memories/a/b/", "1B\t/memories/z"]
        assert counts.by(lambda: asked(tool, "view", path="/memories")) <= 8
        assert counts.read_by(lambda: asked(tool, "view", path="/memories")) <= 4 * 210


class TestTogether:
    def test_edits_at_the_same_moment_lose_nothing(self, tool, store):
        asked(tool, "create", path="/memories/list", file_text="")
        others = [tool, DataStoreMemoryTool(store.agent("ann", "other"))]
        with ThreadPoolExecutor(4) as threads:
            list(
                threads.map(
                    lambda number: asked(
                        others[number % 2], "insert", path="/memories/list", insert_line=0, insert_text=f"{number}"
                    ),
                    range(40),
                )
            )
        lines = [line.partition("\t")[2] for line in asked(tool, "view", path="/memories/list").split("\n")[1:-1]]
        assert sorted(lines, key=int) == [f"{number}" for number in range(40)]

    def test_of_those_who_create_a_file_one_does(self, tool, store):
        others = [tool, DataStoreMemoryTool(store.agent("ann", "other"))]
        with ThreadPoolExecutor(4) as threads:
            said = list(
                threads.map(
                    lambda number: asked(others[number % 2], "create", path="/memories/d/e/f", file_text=f"{number}"),
                    range(12),
                )
            )
        assert sorted(set(said)) == [
            "File created successfully at: /memories/d/e/f",
            "error: File /memories/d/e/f already exists",
        ]
        assert said.count("File created successfully at: /memories/d/e/f") == 1

    def test_what_is_written_to_a_file_while_it_is_renamed_goes_along(self, data_store):
        other = DataStoreMemoryTool(data_store)
        asked(other, "create", path="/memories/d/a", file_text="old")
        asked(other, "create", path="/memories/d/b", file_text="gone")

        class Interrupted(DataStoreMemoryTool):
            def _do(self, steps):
                return super()._do(self._after_the_copies(steps))

            def _after_the_copies(self, steps):
                answer = None
                while True:
                    try:
                        asking = steps.send(answer)
                        answer = yield asking
                    except StopIteration as end:
                        return end.value
                    except datastore.DataStoreError as error:
                        asking = steps.throw(error)
                        answer = yield asking
                    if type(answer) is int:  # so many copies were made
                        asked(other, "str_replace", path="/memories/d/a", old_str="old", new_str="new")
                        asked(other, "delete", path="/memories/d/b")

        said = asked(Interrupted(data_store), "rename", old_path="/memories/d", new_path="/memories/e")
        assert said == "Successfully renamed /memories/d to /memories/e"
        assert data_store.get("memories/e/a")["text"] == "new"
        assert data_store.list_keys("memories/d") == []


class TestHostile:
    def test_what_cannot_be_kept_is_told_to_the_model(self, store, tool):
        assert asked(tool, "create", path="/memories/" + "x" * 600, file_text="").startswith("error: ")
        assert asked(tool, "create", path="/memories/large", file_text="x" * 1_000_001).startswith("error: ")
        assert asked(tool, "create", path="/memories/half", file_text="\ud800").startswith("error: ")
        assert asked(tool, "view", path="/memories/large") == (
            "error: The path /memories/large does not exist. Please provide a valid path."
        )
        small = DataStoreMemoryTool(store.agent("ann", "small", quota=Quota(records=1)))
        asked(small, "create", path="/memories/one", file_text="")
        assert "quota" in asked(small, "create", path="/memories/two", file_text="")
        reader = DataStoreMemoryTool(store.agent("ann", "reader", grants={"default": "read"}))
        assert asked(reader, "view", path="/memories/one").endswith("\t")
        for command, fields in {
            "create": {"path": "/memories/x", "file_text": "x"},
            "insert": {"path": "/memories/one", "insert_line": 0, "insert_text": "x"},
            "delete": {"path": "/memories/one"},
            "rename": {"old_path": "/memories/one", "new_path": "/memories/x"},
        }.items():
            assert "grant" in asked(reader, command, **fields), command
        assert asked(tool, "view", path="/memories") == asked(reader, "view", path="/memories")

    def test_an_outage_is_no_answer_to_the_model(self, store, tool):
        store.close()
        with pytest.raises(datastore.ClosedError):
            tool.call({"command": "view", "path": "/memories/a"})

    def test_a_pattern_without_text_in_a_large_file_takes_no_quadratic_time(self, tool):
        asked(tool, "create", path="/memories/large", file_text="\n" * 200_000)
        begin = time.perf_counter()
        assert len(asked(tool, "str_replace", path="/memories/large", old_str="", new_str="x")) > 1_000_000
        assert time.perf_counter() - begin < 20  # hours, if each line is counted from the beginning

    @pytest.mark.parametrize("value", ["text", {"text": "a"}, {"format": 2, "text": "a", "size": 1}, {"format": 1}])
    def test_what_another_version_wrote_is_refused(self, tool, data_store, value):
        data_store.set("memories/a", value)
        for command, fields in {"view": {}, "insert": {"insert_line": 0, "insert_text": "x"}}.items():
            with pytest.raises(UnsupportedError, match="record 'memories/a' is not of format 1"):
                tool.call({"command": command, "path": "/memories/a", **fields})
        with pytest.raises(UnsupportedError, match="record 'memories/a' is not of format 1"):
            tool.call({"command": "view", "path": "/memories"})


def test_users_have_memories_of_their_own(store, tool):
    asked(tool, "create", path="/memories/a", file_text="x")
    for other in (store.agent("bob", "assistant"), store.agent("ann", "assistant", "other")):
        assert asked(DataStoreMemoryTool(other.asynchronous), "view", path="/memories/a").startswith("error")


def test_files_that_nobody_writes_to_are_forgotten(url):
    now = [time.time()]
    with connect(url, clock=lambda: now[0]) as store:
        tool = DataStoreMemoryTool(store.agent("ann", "assistant"), ttl=timedelta(hours=1))
        for name in ("a", "b", "d/c"):
            asked(tool, "create", path=f"/memories/{name}", file_text="")
        now[0] += 3_000
        asked(tool, "insert", path="/memories/a", insert_line=0, insert_text="x")
        asked(tool, "rename", old_path="/memories/d", new_path="/memories/e")
        now[0] += 3_000
        assert asked(tool, "view", path="/memories").split("\n")[2:] == [
            "2B\t/memories/a",
            "\t/memories/e/",
            "0B\t/memories/e/c",
        ]
        now[0] += 3_000
        assert asked(tool, "view", path="/memories").split("\n")[2:] == []
    with pytest.raises(InvalidValueError, match="ttl"):
        DataStoreMemoryTool(store.agent("ann", "assistant"), ttl=0)
