"""Exporting to a file and importing from it: exactly, whole or not at all, and onwards after an end in the middle."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys

import pytest

import datastore
from datastore.conformance.samples import VALUES
from datastore.moving import digest_of, export_records, import_records
from datastore.moving.files import BrokenFileError
from datastore.moving.pages import PAGE

RECORDS = 4 * (len(VALUES) + 1)


@pytest.fixture(params=["records.jsonl", "records.jsonl.gz"])
def file(request, tmp_path):
    return tmp_path / request.param


def content(file):
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def test_what_is_imported_is_what_was_exported(full, target, file):
    exported = export_records(full, file)
    imported = import_records(file, target)
    assert exported.written == imported.written == imported.verified == RECORDS
    assert exported.digest == imported.digest == digest_of(full) == digest_of(target)


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
def test_filters_hold_for_exports_and_imports(full, target, file, filters):
    export_records(full, file, **filters)
    assert import_records(file, target).written == RECORDS // 2
    assert digest_of(target) == digest_of(full, **filters)
    with datastore.connect("memory://", clock=target._core.clock) as other:
        export_records(full, file)
        report = import_records(file, other, **filters)
        assert (report.written, report.left_out) == (RECORDS // 2, RECORDS // 2)
        assert digest_of(other) == digest_of(target)


def test_importing_twice_writes_nothing_more(full, target, file):
    export_records(full, file)
    import_records(file, target)
    again = import_records(file, target)
    assert (again.written, again.unchanged) == (0, RECORDS)


def test_exporting_twice_gives_the_same_file(full, file):
    export_records(full, file)
    first = file.read_bytes()
    export_records(full, file)
    assert file.read_bytes() == first


def test_a_record_that_has_expired_since_stays_in_the_file(full, target, file, clock):
    export_records(full, file)
    clock.advance(60)
    report = import_records(file, target)
    assert (report.expired, report.written) == (4, RECORDS - 4)


def test_an_empty_store_makes_a_file_that_can_be_imported(source, target, file):
    export_records(source, file)
    report = import_records(file, target)
    assert (report.read, report.complete) == (0, True)


class TestAFileThatIsNotWhole:
    """It is refused before anything is written; whoever wants what there is gets it."""

    @pytest.fixture
    def exported(self, source, file):
        source.agent("ann", "a").set_many({f"key {number}": number for number in range(2 * PAGE)})
        export_records(source, file)
        return file

    def refused(self, file, target, message):
        with pytest.raises(BrokenFileError, match=message):
            import_records(file, target)
        assert target.agent("ann", "a").count() == 0

    def test_cut_off(self, exported, target):
        exported.write_bytes(exported.read_bytes()[: -len(exported.read_bytes()) // 4])
        self.refused(exported, target, "cut off")

    def test_without_its_last_line(self, exported, target):
        data = content(exported)
        data = data[: data.rindex(b"\n", 0, -1) + 1]
        exported.write_bytes(gzip.compress(data) if exported.suffix == ".gz" else data)
        self.refused(exported, target, f"cut off behind {2 * PAGE:,} records")
        assert import_records(exported, target, accept_incomplete=True).written == 2 * PAGE

    def test_changed_by_hand(self, exported, target):
        data = content(exported).replace(b'"value":7}', b'"value":8}')
        exported.write_bytes(gzip.compress(data) if exported.suffix == ".gz" else data)
        self.refused(exported, target, "was changed since it was exported")
        assert import_records(exported, target, accept_incomplete=True).written == 2 * PAGE
        assert target.agent("ann", "a").get("key 7") == 8

    def test_something_else(self, file, target):
        file.write_text("name,price\n")
        self.refused(file, target, "is not a file of 'datastore export'")

    def test_from_a_newer_version(self, exported, target):
        data = content(exported).replace(b'"version": 1', b'"version": 2')
        exported.write_bytes(data)
        self.refused(exported, target, "another version of agent-datastore")

    def test_lines_of_records_alone_are_accepted_when_asked(self, source, target, file):
        source.agent("ann", "a").set_many({"big": 2**70, "float": 1.0})
        records = source.agent("ann", "a").iter_records()
        file.write_text("".join(record.model_dump_json() + "\n" for record in records))
        assert import_records(file, target, accept_incomplete=True).complete
        assert target.agent("ann", "a").get("big") == 2**70

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
    def test_a_line_that_holds_no_record_is_reported_and_the_others_are_imported(
        self, exported, target, change, message
    ):
        lines = content(exported).split(b"\n")
        lines[3] = json.dumps(json.loads(lines[3]) | change).encode()
        lines[5] = b"{"
        exported.write_bytes(b"\n".join(lines))
        report = import_records(exported, target, accept_incomplete=True)
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
    """The part goes on; until it is whole an older file stays as it was."""

    @pytest.fixture
    def many(self, source):
        source.agent("ann", "a").set_many({f"key {number}": number for number in range(4 * PAGE)})
        return source

    def interrupted_export(self, store, file, pages=2, **options):
        told = []

        def interrupt(done, total):
            told.append(done)
            if len(told) == pages:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_records(store, file, on_progress=interrupt, **options)
        return file.with_name(file.name + ".part")

    def test_an_export_goes_on_with_its_part(self, many, target, file):
        file.write_text("older")
        part = self.interrupted_export(many, file)
        assert file.read_text() == "older"
        report = export_records(many, file)
        assert (report.resumed, report.written) == (2 * PAGE, 4 * PAGE)
        assert not part.exists()
        assert report.digest == digest_of(many)
        import_records(file, target)
        assert digest_of(target) == digest_of(many)

    @pytest.mark.parametrize("cut", [1, 100, 5_000])
    def test_what_is_half_there_is_cut_off_before_it_goes_on(self, many, target, file, cut):
        part = self.interrupted_export(many, file)
        part.write_bytes(part.read_bytes()[:-cut])
        assert 0 <= export_records(many, file).resumed < 2 * PAGE
        import_records(file, target)
        assert digest_of(target) == digest_of(many)

    def test_rubbish_behind_the_part_is_cut_off(self, many, target, file):
        part = self.interrupted_export(many, file)
        part.write_bytes(part.read_bytes() + b"\x1f\x8b half of something")
        export_records(many, file)
        import_records(file, target)
        assert digest_of(target) == digest_of(many)

    def test_a_part_of_something_else_is_begun_anew(self, many, file):
        self.interrupted_export(many, file)
        assert export_records(many, file, user_id="ann").resumed == 0
        self.interrupted_export(many, file, of="one store")
        assert export_records(many, file, of="another").resumed == 0

    def test_a_fresh_export_is_begun_anew(self, many, file):
        self.interrupted_export(many, file)
        assert export_records(many, file, fresh=True).resumed == 0

    def test_an_import_goes_on_where_it_was(self, many, target, file, tmp_path):
        export_records(many, file)
        checkpoint = tmp_path / "checkpoint"

        def interrupt(done, total):
            if done == 2 * PAGE:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_records(file, target, checkpoint=checkpoint, on_progress=interrupt)
        report = import_records(file, target, checkpoint=checkpoint)
        assert (report.resumed, report.read, report.written) == (2 * PAGE, 4 * PAGE, 4 * PAGE)
        assert report.digest == digest_of(target)


EXPORT = """
import sys
from pathlib import Path
import datastore
from datastore.moving import export_records
with datastore.connect(sys.argv[1]) as source:
    export_records(source, Path(sys.argv[2]), on_progress=lambda done, total: print(done, flush=True))
"""


def test_kill_9_in_the_middle_of_an_export_and_once_more(source, target, tmp_path, file):
    source.agent("ann", "a").set_many({f"key {number}": "x" * 1_000 for number in range(8_000)})
    command = [sys.executable, "-c", EXPORT, f"sqlite:///{tmp_path}/source.db", str(file)]
    for pages in (1, 5):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(pages):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        process.stdout.close()
        assert not file.exists()
    assert export_records(source, file).resumed >= 5 * PAGE  # of the later run, which went on from the earlier
    import_records(file, target)
    assert digest_of(target) == digest_of(source)


def test_an_import_holds_one_page_whatever_the_number_of_lines(source, file, monkeypatch):
    from datastore.moving.settling import Target

    source.agent("ann", "a").set_many({f"key {number}": number for number in range(10_000)})
    export_records(source, file)
    sizes = []
    settle = Target.settle
    monkeypatch.setattr(Target, "settle", lambda self, page: (sizes.append(len(page)), settle(self, page)))
    with datastore.connect("memory://") as target:
        import_records(file, target)
    assert max(sizes) == PAGE
    assert sum(sizes) == 10_000
