"""Files from anywhere: memory is bounded, a bad line is a problem by itself, and only the owner can read them."""

from __future__ import annotations

import gzip
import json
import os
import stat
import sys
import tracemalloc

import pytest

import datastore
from datastore.errors import ConfigurationError
from datastore.moving import copy, export_records, import_records
from datastore.moving.files import LONGEST_LINE, MOST_UNPACKED, BrokenFileError

AT = "2026-01-01T00:00:00.000000Z"
SOUND = {
    "userId": "u",
    "namespace": "default",
    "key": "k",
    "createdByAgent": "a",
    "lastAccessedByAgent": None,
    "accessCount": 0,
    "createdAt": AT,
    "updatedAt": AT,
    "lastAccessedAt": None,
    "revision": "r",
    "expiresAt": None,
    "metadata": {},
    "value": 1,
}
SECRET = "5ecret"


@pytest.fixture
def store():
    with datastore.connect("memory://") as store:
        yield store


@pytest.fixture
def file(tmp_path):
    return tmp_path / "in.jsonl"


def line(**changes):
    return json.dumps({**SOUND, **changes}).encode() + b"\n"


BAD = {
    "a month 99": line(createdAt="2026-99-99T99:99:99.000000Z"),
    "an expiry in month 99": line(expiresAt="9999-99-99T99:99:99.000000Z"),
    "full-width digits": line(createdAt="２０２６-01-01T00:00:00.000000Z"),
    "an object as agent": line(lastAccessedByAgent={"x": SECRET}),
    "an array as agent": line(createdByAgent=[SECRET]),
    "a number as agent": line(lastAccessedByAgent=5),
    "a count of 2**70": line(accessCount=2**70),
    "a count of 2**53 + 1": line(accessCount=2**53 + 1),
    "a revision of 500,000 characters": line(revision="x" * 500_000),
    "a revision that is no text": line(revision="\ud800"),
    "metadata that is an array": line(metadata=[SECRET]),
    "a value that is too large": line(value=SECRET * 200_000),
    "an integer of 4,301 digits": line()[:-3] + b"1" * 4_301 + b"}\n",
    "an integer of a million digits": line()[:-3] + b"1" * 1_000_000 + b"}\n",
    "no finite number": line()[:-3] + b"1e999}\n",
    "nested 100,000 deep": line()[:-3] + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "nested 100,000 deep, with a long number": b'{"a":12345678901234567890,"value":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}\n",
    "20 MB long": b'"' + SECRET.encode() * 3_500_000 + b'"\n',
    "not UTF-8": b"\xff\xfe" + SECRET.encode() + b"\n",
    "Latin-1": line(value="?").replace(b"?", "é".encode("latin-1")),
    "UTF-16": (SECRET + "\n").encode("utf-16").replace(b"\n", b""),
    "not JSON": SECRET.encode() + b"\n",
    "an array": b'["5ecret"]\n',
    "blank": b"\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_is_a_problem_of_that_line_and_quotes_nothing(store, file, bad):
    bad = bad.rstrip(b"\n") + b"\n"
    file.write_bytes(line(key="before") + bad + line(key="after"))
    report = import_records(file, store, accept_incomplete=True)
    assert (report.written, report.counts) == (2, {"failed": 1})
    (problem,) = report.problems
    assert problem.where == "line 2"
    assert problem.text.startswith("is not a record: ")
    assert SECRET not in problem.text
    assert len(problem.text) < 200
    agent = store.agent("u", "a")
    assert [record.key for record in agent.iter_records()] == ["after", "before"]


def test_the_last_line_may_be_too_long_as_well(store, file):
    file.write_bytes(line() + b"x" * (LONGEST_LINE + 5))
    report = import_records(file, store, accept_incomplete=True)
    assert (report.written, report.problems[0].where) == (1, "line 2")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe\n", b"[" * 100_000, b"1" * 1_000_000, b'{"records": 1}'], ids=len
)
def test_what_is_no_export_is_refused_whatever_it_is(store, file, content):
    file.write_bytes(content)
    with pytest.raises(BrokenFileError, match=r"in\.jsonl is not"):
        import_records(file, store)


class TestACompressedFile:
    def test_that_unpacks_to_far_more_than_its_size_is_refused_in_bounded_memory(self, store, tmp_path):
        bomb = tmp_path / "bomb.jsonl.gz"
        with gzip.open(bomb, "wb") as packed:
            for _ in range(50):
                packed.write(b"x" * 1_000_000)
        tracemalloc.start()
        try:
            for accept_incomplete in (False, True):
                with pytest.raises(BrokenFileError, match=r"bomb\.jsonl\.gz unpacks to more than 200 times its size"):
                    import_records(bomb, store, accept_incomplete=accept_incomplete)
            assert tracemalloc.get_traced_memory()[1] < 3 * LONGEST_LINE
        finally:
            tracemalloc.stop()

    def test_of_our_own_never_is_one(self, store, tmp_path):
        store.agent("u", "a").set_many({f"k{number}": "x" * 900_000 for number in range(10)})
        file = tmp_path / "out.jsonl.gz"
        export_records(store, file)
        assert len(gzip.decompress(file.read_bytes())) < MOST_UNPACKED * file.stat().st_size
        with datastore.connect("memory://") as sink:
            assert import_records(file, sink).verified == 10

    def test_that_is_small_may_be_packed_well(self, store, tmp_path):
        file = tmp_path / "in.jsonl.gz"
        file.write_bytes(gzip.compress(line(value="x" * 900_000)))
        assert import_records(file, store, accept_incomplete=True).written == 1


posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such links")


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@posix
class TestOnlyTheOwner:
    @pytest.fixture(autouse=True)
    def open_to_all(self):
        before = os.umask(0)
        yield
        os.umask(before)

    @pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
    def test_may_read_an_export_while_it_is_written_and_when_it_is_done(self, store, tmp_path, name):
        store.agent("u", "a").set("k", SECRET)
        file, modes = tmp_path / name, []
        directory = mode(tmp_path)
        file.write_text("an older export that others may read")
        export_records(store, file, on_progress=lambda *_: modes.append(mode(tmp_path / f"{name}.part")))
        assert {*modes, mode(file)} == {0o600}
        assert mode(tmp_path) == directory

    def test_may_read_the_position_of_a_move(self, store, tmp_path, monkeypatch):
        store.agent("u", "a").set_many({f"k{number}": 1 for number in range(600)})
        checkpoint = tmp_path / "position.json"
        seen = []
        with datastore.connect("memory://") as sink:
            copy(
                store,
                sink,
                checkpoint=checkpoint,
                on_progress=lambda *_: seen.append(checkpoint.exists() and mode(checkpoint)),
            )
        assert 0o600 in seen

    def test_a_part_that_others_could_read_is_made_anew(self, store, tmp_path):
        store.agent("u", "a").set("k", 1)
        file, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
        part.write_text("left by an earlier run")
        part.chmod(0o644)
        export_records(store, file)
        assert mode(file) == 0o600

    @pytest.mark.parametrize("link", ["symbolic", "hard"])
    def test_a_planted_link_is_not_followed(self, store, tmp_path, link):
        store.agent("u", "a").set("k", SECRET)
        victim, file, part = tmp_path / "victim", tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
        victim.write_text("untouched")
        part.symlink_to(victim) if link == "symbolic" else part.hardlink_to(victim)
        export_records(store, file)
        assert victim.read_text() == "untouched"
        assert not file.is_symlink()
        assert mode(file) == 0o600

    def test_a_directory_in_the_place_of_the_part_is_an_error_that_names_the_file(self, store, tmp_path):
        (tmp_path / "out.jsonl.part").mkdir()
        with pytest.raises((ConfigurationError, datastore.PermissionDeniedError), match=r"out\.jsonl"):
            export_records(store, tmp_path / "out.jsonl")
