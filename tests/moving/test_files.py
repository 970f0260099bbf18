"""Exporting to a file and importing from it: exactly, whole or not at all, and onwards after an end in the middle."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import uuid

import pytest

import datastore
from datastore.backend import Fields
from datastore.conformance.samples import VALUES
from datastore.moving import copy, digest_of, export_records, import_records
from datastore.moving.files import BrokenFileError
from datastore.moving.lines import parse, to_line
from datastore.moving.pages import PAGE
from tests.patience import PATIENCE

RECORDS = 4 * (len(VALUES) + 1)


@pytest.fixture(params=["records.jsonl", "records.jsonl.gz"])
def file(request, tmp_path):
    return tmp_path / request.param


def content(file):
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def part_of(file):
    return file.with_name(f"{file.name}.part")


def test_what_is_imported_is_what_was_exported(full, sink, file):
    exported = export_records(full, file)
    imported = import_records(file, sink)
    assert exported.written == imported.written == imported.verified == RECORDS
    assert exported.digest == imported.digest == digest_of(full) == digest_of(sink)


def test_each_line_is_a_record_as_the_docs_show_it(source, file, clock):
    source.agent("a:b", "writer", "files:x").set("plan", {"big": 2**70, "text": "a\0b\u2028"}, {"m": 1}, ttl=60)
    source.agent("a:b", "reader", "files:x").get("plan")
    export_records(source, file)
    header, line, end = content(file).decode().split("\n")[:-1]
    record = source.agent("a:b", "host", "files:x").get_record("plan")
    assert json.loads(line) == json.loads(record.model_dump_json())
    assert json.loads(header)["format"] == "agent-datastore export"
    assert json.loads(end)["records"] == 1


@pytest.mark.parametrize("filters", [{"user_id": "ann"}, {"namespace": "files:x"}], ids=str)
def test_filters_hold_for_exports_and_imports(full, sink, file, filters):
    export_records(full, file, **filters)
    assert import_records(file, sink).written == RECORDS // 2
    assert digest_of(sink) == digest_of(full, **filters)
    with datastore.connect("memory://", clock=sink._core.clock) as other:
        export_records(full, file)
        report = import_records(file, other, **filters)
        assert (report.written, report.left_out) == (RECORDS // 2, RECORDS // 2)
        assert digest_of(other) == digest_of(sink)


def test_accesses_during_an_export_are_counted_once_if_it_comes_back_to_the_store():
    with datastore.connect("memory://", flush_interval=3_600) as store:
        ann = store.agent("ann", "reader")
        ann.set_many({f"{number:04}": number for number in range(PAGE + 1)})
        last, file = f"{PAGE:04}", io.BytesIO()
        pages = []
        export_records(store, file, on_progress=lambda *so_far: pages.append(ann.get(last)))
        assert len(pages) == 2, "one before the page with the record was read, and one after it"
        file.seek(0)
        import_records(file, store)
        store.flush()
        assert ann.get_record(last).access_count == 2


def test_importing_twice_writes_nothing_more(full, sink, file):
    export_records(full, file)
    import_records(file, sink)
    again = import_records(file, sink)
    assert (again.written, again.unchanged) == (0, RECORDS)


def test_exporting_twice_gives_the_same_file(full, file):
    export_records(full, file)
    first = file.read_bytes()
    export_records(full, file)
    assert file.read_bytes() == first


def test_a_record_that_has_expired_since_stays_in_the_file(full, sink, file, clock):
    export_records(full, file)
    clock.advance(60)
    report = import_records(file, sink)
    assert (report.expired, report.written) == (4, RECORDS - 4)


def test_an_empty_store_makes_a_file_that_can_be_imported(source, sink, file):
    export_records(source, file)
    report = import_records(file, sink)
    assert (report.read, report.complete) == (0, True)


class TestAFileThatIsNotWhole:
    """It is refused before anything is written; whoever wants what there is gets it."""

    @pytest.fixture
    def exported(self, source, file):
        source.agent("ann", "a").set_many({f"key {number}": number for number in range(2 * PAGE)})
        export_records(source, file)
        return file

    def refused(self, file, sink, message):
        with pytest.raises(BrokenFileError, match=message):
            import_records(file, sink)
        assert sink.agent("ann", "a").count() == 0

    def test_cut_off(self, exported, sink):
        exported.write_bytes(exported.read_bytes()[: -len(exported.read_bytes()) // 4])
        self.refused(exported, sink, "cut off")

    def test_without_its_last_line(self, exported, sink):
        data = content(exported)
        data = data[: data.rindex(b"\n", 0, -1) + 1]
        exported.write_bytes(gzip.compress(data) if exported.suffix == ".gz" else data)
        self.refused(exported, sink, f"cut off after {2 * PAGE:,} records")
        assert import_records(exported, sink, accept_incomplete=True).written == 2 * PAGE

    def test_changed_by_hand(self, exported, sink):
        data = content(exported).replace(b'"value":7}', b'"value":8}')
        exported.write_bytes(gzip.compress(data) if exported.suffix == ".gz" else data)
        self.refused(exported, sink, "was changed after it was exported")
        assert import_records(exported, sink, accept_incomplete=True).written == 2 * PAGE
        assert sink.agent("ann", "a").get("key 7") == 8

    def test_something_else(self, file, sink):
        file.write_text("name,price\n")
        self.refused(file, sink, "is not a file of 'datastore export'")

    def test_from_a_newer_version(self, exported, sink):
        data = content(exported).replace(b'"version": 1', b'"version": 2')
        exported.write_bytes(data)
        self.refused(exported, sink, "another version of agent-datastore")

    def test_lines_of_records_alone_are_accepted_when_asked(self, source, sink, file):
        source.agent("ann", "a").set_many({"big": 2**70, "float": 1.0})
        records = source.agent("ann", "a").iter_records()
        file.write_text("".join(record.model_dump_json() + "\n" for record in records))
        assert import_records(file, sink, accept_incomplete=True).complete
        assert sink.agent("ann", "a").get("big") == 2**70

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"createdAt": "yesterday"}, "createdAt is not a time, which is written 2026-01-31T12:00:00.000000Z"),
            ({"userId": ""}, "userId is empty"),
            ({"key": 1}, "key is an int"),
            ({"accessCount": -1}, "accessCount is not a whole number"),
            ({"metadata": [1]}, "metadata is not an object"),
            ({"revision": None}, "revision is not text"),
        ],
        ids=str,
    )
    def test_a_line_that_holds_no_record_is_reported_and_the_others_are_imported(self, exported, sink, change, message):
        lines = content(exported).split(b"\n")
        lines[3] = json.dumps(json.loads(lines[3]) | change).encode()
        lines[5] = b"{"
        exported.write_bytes(b"\n".join(lines))
        report = import_records(exported, sink, accept_incomplete=True)
        assert report.written == 2 * PAGE - 2
        assert not report.complete
        assert [problem.where for problem in report.problems] == ["line 4", "line 6"]
        assert message in report.problems[0].text


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere/records.jsonl", datastore.ConfigurationError, "No such file or directory"),
        ("folder", datastore.ConfigurationError, "is a directory"),
    ],
)
def test_a_place_that_cannot_hold_the_file_is_an_error(source, tmp_path, name, error, message):
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=message):
        export_records(source, tmp_path / name)
    with pytest.raises(datastore.ConfigurationError):
        import_records(tmp_path / name, source)


class TestAfterAnEndInTheMiddle:
    """An export starts over, an import goes on; until an export is whole an older file stays as it was."""

    @pytest.fixture
    def many(self, source):
        source.agent("ann", "a").set_many({f"key {number}": number for number in range(4 * PAGE)})
        return source

    def interrupted_export(self, store, file):
        def interrupt(done, total):
            if done == 2 * PAGE:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_records(store, file, on_progress=interrupt)

    def test_an_interrupted_export_leaves_the_older_file_and_nothing_else(self, many, file):
        file.write_text("older")
        self.interrupted_export(many, file)
        assert file.read_text() == "older"
        assert not part_of(file).exists()

    def test_what_a_killed_export_has_left_is_not_gone_on_with(self, many, sink, file):
        """What has changed or gone since would be in the backup as it was."""
        export_records(many, file)
        data = content(file)
        half = data[: data.index(b"\n", len(data) // 2) + 1]
        part_of(file).write_bytes(gzip.compress(half) if file.suffix == ".gz" else half)
        ann = many.agent("ann", "a")
        ann.set("key 0", "changed")
        ann.delete("key 1")
        report = export_records(many, file)
        assert (report.resumed, report.written) == (0, 4 * PAGE - 1)
        assert not part_of(file).exists()
        import_records(file, sink)
        assert digest_of(sink) == digest_of(many)

    def test_of_two_exports_to_one_file_neither_takes_what_the_other_has_written(self, many, sink, file):
        def begin_another(done, total):
            if done == 2 * PAGE:
                self.interrupted_export(many, file)

        with pytest.raises(datastore.ConfigurationError, match=r"another export to .* began before this one had ended"):
            export_records(many, file, on_progress=begin_another)
        assert not file.exists()

        def whole_in_between(done, total):
            if done == 2 * PAGE:
                export_records(many, file)

        with pytest.raises(datastore.ConfigurationError, match=r"another export to .* began before this one had ended"):
            export_records(many, file, on_progress=whole_in_between)
        import_records(file, sink)
        assert digest_of(sink) == digest_of(many)

    def test_an_import_goes_on_where_it_was(self, many, sink, file, tmp_path):
        export_records(many, file)
        checkpoint = tmp_path / "checkpoint"

        def interrupt(done, total):
            if done == 2 * PAGE:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_records(file, sink, checkpoint=checkpoint, on_progress=interrupt)
        report = import_records(file, sink, checkpoint=checkpoint)
        assert (report.resumed, report.read, report.written) == (2 * PAGE, 4 * PAGE, 4 * PAGE)
        assert report.digest == digest_of(sink)


EXPORT = """
import sys
from pathlib import Path
import datastore
from datastore.moving import export_records
with datastore.connect(sys.argv[1]) as source:
    export_records(source, Path(sys.argv[2]), on_progress=lambda done, total: print(done, flush=True))
"""


def test_kill_9_in_the_middle_of_an_export_and_once_more(source, sink, tmp_path, file):
    source.agent("ann", "a").set_many({f"key {number}": "x" * 1_000 for number in range(8_000)})
    command = [sys.executable, "-c", EXPORT, f"sqlite:///{tmp_path}/source.db", str(file)]
    for pages in (1, 5):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(pages):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        process.stdout.close()
        assert not file.exists()
        assert part_of(file).exists()
    assert export_records(source, file).written == 8_000
    assert not part_of(file).exists()
    import_records(file, sink)
    assert digest_of(sink) == digest_of(source)


class TestWhatIsNoRegularFile:
    """It is written into and read from as it is, and never replaced."""

    @pytest.fixture
    def pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        return tmp_path / "pipe"

    def test_a_pipe_is_written_into(self, full, sink, pipe, tmp_path):
        read = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
        reader.start()
        export_records(full, pipe)
        reader.join()
        assert stat.S_ISFIFO(pipe.lstat().st_mode)
        assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
        (tmp_path / "copy.jsonl").write_bytes(read[0])
        import_records(tmp_path / "copy.jsonl", sink)
        assert digest_of(sink) == digest_of(full)

    def test_a_pipe_is_read_once_and_checked_all_the_same(self, full, sink, file, pipe):
        export_records(full, file)

        def import_what(data):
            writer = threading.Thread(target=lambda: pipe.write_bytes(data))
            writer.start()
            try:
                return import_records(pipe, sink)
            finally:
                writer.join()

        with pytest.raises(BrokenFileError, match="cut off"):
            import_what(file.read_bytes()[:-100])
        assert sink.agent("ann", "a").list_namespaces() == []
        assert import_what(file.read_bytes()).written == RECORDS

    def test_a_device_stays_a_device(self, full, monkeypatch, tmp_path):
        export_records(full, "/dev/null")
        assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)
        assert not pathlib.Path("/dev/null.part").exists()

    def test_a_descriptor_is_written_to_behind_what_is_there(self, full, sink, tmp_path):
        """A file that is open as /dev/fd/N is not opened anew, nor replaced."""
        for name in ("/dev/fd", "/proc/self/fd"):
            with (tmp_path / "out").open("wb") as file:
                file.write(b"before\n")
                file.flush()
                export_records(full, f"{name}/{file.fileno()}")
                file.write(b"behind\n")
            lines = (tmp_path / "out").read_bytes().splitlines()
            assert (lines[0], lines[-1]) == (b"before", b"behind")
            assert json.loads(lines[-2])["records"] == RECORDS

    def test_a_symbolic_link_is_refused_and_what_it_leads_to_is_as_it_was(self, full, file, tmp_path):
        (tmp_path / "real").write_text("older")
        for leads_to in (tmp_path / "real", tmp_path / "nothing", "/dev/null"):
            file.unlink(missing_ok=True)
            file.symlink_to(leads_to)
            with pytest.raises(datastore.ConfigurationError, match=r"is a symbolic link to .*; name the file itself"):
                export_records(full, file)
            assert file.is_symlink()
        assert (tmp_path / "real").read_text() == "older"

    def test_a_link_on_the_way_to_the_file_is_followed(self, full, sink, file, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        export_records(full, tmp_path / "link" / file.name)
        assert import_records(tmp_path / "folder" / file.name, sink).written == RECORDS

    def test_a_stream_of_the_caller_s_is_written_and_read_and_stays_open(self, full, sink):
        stream = io.BytesIO()
        export_records(full, stream)
        stream.seek(0)
        assert import_records(stream, sink).written == RECORDS
        assert not stream.closed
        with pytest.raises(BrokenFileError, match="the stream is not a file of"):
            import_records(io.BytesIO(b"name,price\n"), sink)

    def test_the_temporary_file_of_a_stream_has_no_name(self, full, sink, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        stream = io.BytesIO()
        export_records(full, stream)
        stream.seek(0)
        seen = []
        import_records(stream, sink, on_progress=lambda *_: seen.append(list((tmp_path / "temporary").iterdir())))
        assert seen
        assert not any(seen)


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_path_may_be_text(full, sink, file, tmp_path, kind):
    export_records(full, kind(file))
    assert import_records(kind(file), sink, checkpoint=kind(tmp_path / "position")).written == RECORDS
    copy(full, sink, checkpoint=kind(tmp_path / "position"))


@pytest.mark.parametrize("given", [3, b"records.jsonl", io.StringIO(), None], ids=lambda given: type(given).__name__)
def test_what_is_neither_a_path_nor_a_stream_of_bytes_is_refused(full, given):
    message = r"path is an? .*; give a str, a pathlib\.Path, or a stream open for bytes"
    for move in (lambda: export_records(full, given), lambda: import_records(given, full)):
        with pytest.raises(datastore.InvalidValueError, match=message):
            move()


@pytest.mark.parametrize(
    ("line", "at"),
    [(b'{"a": 1 x}', 9), (b'{"a": 12345678901234567890 x}', 28), (b'{"\xc3\xa9": 12345678901234567890 x}', 28)],
)
def test_a_line_that_is_no_json_says_where(line, at):
    """However the numbers in it are read."""
    with pytest.raises(datastore.InvalidValueError, match=f"at character {at}$"):
        parse(line)


def test_an_import_holds_one_page_whatever_the_number_of_lines(source, file, monkeypatch):
    from datastore.moving.settling import Sink

    source.agent("ann", "a").set_many({f"key {number}": number for number in range(10_000)})
    export_records(source, file)
    sizes = []
    settle = Sink.settle_sound
    monkeypatch.setattr(Sink, "settle_sound", lambda self, page: (sizes.append(len(page)), settle(self, page)))
    with datastore.connect("memory://") as sink:
        import_records(file, sink)
    assert max(sizes) == PAGE
    assert sum(sizes) == 10_000


BAD = {
    "not an object": b"[1]",
    "cut off": b'{"userId": "ann"',
    "not UTF-8": b'{"userId": "\xff"}',
    "without a key": {"key": ...},
    "without a revision": {"revision": ...},
    "a key in another type": {"key": 1},
    "a user in another type": {"userId": ["ann"]},
    "an empty namespace": {"namespace": ""},
    "an impossible day": {"updatedAt": "2026-02-30T12:00:00.000000Z"},
    "too many accesses": {"accessCount": 2**53 + 1},
    "metadata that is too large": {"metadata": {"m": "x" * 16_000}},
    "a value that is too deep": {"value": json.loads("[" * 201 + "]" * 201)},
    "a value that is too large": {"value": "x" * 1_000_000},
    "a lone surrogate": {"value": "\ud800"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_one_line_among_hundreds_is_found_and_named(source, sink, file, bad):
    """Lines are read many at a time, and refused one by one."""
    source.agent("ann", "a").set_many({f"key {number:03}": number for number in range(PAGE + 20)})
    source.agent("bob", "a", "notes").set_many({f"key {number:03}": number for number in range(20)})
    export_records(source, file)
    lines = content(file).split(b"\n")
    for at in (3, PAGE + 25):
        if isinstance(bad, bytes):
            lines[at] = bad
        else:
            fields = json.loads(lines[at]) | bad
            lines[at] = json.dumps({name: field for name, field in fields.items() if field is not ...}).encode()
    changed = b"\n".join(lines)
    file.write_bytes(gzip.compress(changed) if file.suffix == ".gz" else changed)
    report = import_records(file, sink, accept_incomplete=True)
    assert [problem.where for problem in report.problems] == ["line 4", f"line {PAGE + 26}"]
    assert all(problem.text.startswith("is not a record: ") for problem in report.problems)
    assert (report.read, report.written, report.verified) == (PAGE + 40, PAGE + 38, PAGE + 38)


DEEP = json.loads("[" * 150 + "]" * 150)


@pytest.mark.parametrize(
    "value",
    [{"a": [1, -0.0, None, "é\u2028"]}, [2**64, 0.1], DEEP, {"deep": DEEP, "text": "[" * 90}, "x" * 20_000, "{" * 300],
    ids=["plain", "long integer", "deep", "deeper", "large", "braces"],
)
def test_a_line_is_the_same_whether_the_value_was_parsed_or_not(full, value):
    (document, *_) = full.backend.all_documents(Fields.ALL, 1).documents
    for whole in (document._replace(value=value), document._replace(metadata={"m": value})):
        line = to_line(whole, ("ann", "default", "k"), parsed=True)
        assert line == to_line(whole, ("ann", "default", "k"), parsed=False)
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        fields = parse(line)
        assert repr((fields["value"], fields["metadata"])) == repr((whole.value, whole.metadata))


def test_a_value_of_a_type_that_json_lacks_is_refused_where_a_database_can_hold_one(full):
    (document, *_) = full.backend.all_documents(Fields.ALL, 1).documents
    for value in (float("nan"), uuid.UUID(int=1), {1: 2}):
        with pytest.raises(datastore.InvalidValueError):
            to_line(document._replace(value=value), ("ann", "default", "k"), parsed=False)
