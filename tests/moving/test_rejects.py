"""What an import leaves behind: a private file, whole, that can be moved later; and the rules to move it by."""

from __future__ import annotations

import json
import os
import stat
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from datastore.conformance.samples import VALUES, same
from datastore.errors import ConfigurationError
from datastore.moving import digest_of, import_legacy
from datastore.moving.legacy_format import Name
from datastore.moving.pages import PAGE
from datastore.moving.rejects import Rejects, RejectsFile
from datastore.moving.rules import Rules, parse_rename
from datastore.values import UnreadableError
from tests.moving.test_legacy import COLLIDED
from tests.moving.test_legacy_format import legacy

OF = {"legacy": "test"}
LONG, LARGE = "k" * 600, "é\0" * 400_000


@pytest.fixture(name="path")
def name_path(tmp_path):
    return tmp_path / "rejects.jsonl"


def written(path, *documents, of=OF, number=0):
    rejects = Rejects(path, of, number)
    for document in documents:
        rejects.add(document, "failed", "for a test")
    rejects.close()


def read(path):
    with closing(RejectsFile(path)) as source:
        return list(source.documents(1_000).documents)


class TestTheFile:
    """One line for each document, with the reason."""

    @pytest.mark.parametrize(
        "value",
        [
            *VALUES.values(),
            b"bytes",
            Decimal("1e100"),
            datetime(2024, 3, 1, tzinfo=UTC),
            datetime(2024, 3, 1),
            float("inf"),
            {"a", "b"},
            {"$bytes": "no bytes"},
            {"$object": {"$set": []}},
            {"$bytes": 1, "more": 2},
            "\ud800",
        ],
        ids=lambda value: repr(sorted(value) if type(value) is set else value)[:20],
    )
    def test_a_document_comes_back_as_it_was(self, path, value):
        written(path, legacy(value=value), legacy(value=[value, {"in": value}]))
        first, second = read(path)
        assert same(first["value"], value)
        assert same(second["value"][1]["in"], value)

    def test_what_is_no_value_stays_none_and_what_is_no_number_too(self, path):
        written(
            path,
            legacy(value=float("nan")),
            legacy(value=UnreadableError("a number")),
            legacy(value=object()),
        )
        first, second, third = read(path)
        assert first["value"] != first["value"]
        assert str(second["value"]) == "a number"
        assert isinstance(third["value"], UnreadableError)

    def test_each_line_says_why(self, path):
        written(path, legacy())
        head, line = path.read_text().splitlines()
        assert json.loads(head) == {"format": "agent-datastore rejects", "version": 1, "of": OF}
        entry = json.loads(line)
        assert (entry["id"], entry["kind"], entry["reason"]) == (legacy()["_id"], "failed", "for a test")

    @pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
    def test_only_its_owner_may_read_it(self, path):
        before = os.umask(0)
        try:
            written(path, legacy())
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_nothing_rejected_makes_none_and_takes_the_older_one_away(self, path):
        written(path)
        assert not path.exists()
        written(path, legacy())
        written(path)
        assert not path.exists()

    @pytest.mark.parametrize("what", ["another import", "no rejects", "a link", "a directory"])
    def test_what_is_not_its_own_is_refused_and_left(self, path, tmp_path, what):
        victim = tmp_path / "victim"
        victim.write_text("somebody's")
        if what == "another import":
            written(path, legacy(), of={"legacy": "another"})
        elif what == "no rejects":
            path.write_text("somebody's")
        elif what == "a link":
            path.symlink_to(victim)
        else:
            path.mkdir()
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(ConfigurationError, match="left untouched"):
            Rejects(path, OF)
        assert (path.read_bytes() if path.is_file() else None) == before
        assert victim.read_text() == "somebody's"

    def test_an_interrupted_run_goes_on_behind_what_its_checkpoint_speaks_of(self, path):
        written(path, *(legacy(key=f"k{number}") for number in range(5)))
        written(path, legacy(key="next"), number=3)
        assert [document["key"] for document in read(path)] == ["k0", "k1", "k2", "next"]

    def test_a_file_that_has_lost_lines_is_not_gone_on_with(self, path):
        written(path, legacy())
        with pytest.raises(ConfigurationError, match="--from-start"):
            Rejects(path, OF, 2)
        path.unlink()
        with pytest.raises(ConfigurationError, match="--from-start"):
            Rejects(path, OF, 1)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is not a file of rejects"),
            ("{}\n", "is not a file of rejects"),
            ('{"format": "agent-datastore rejects", "version": 2}\n', "is not a file of rejects"),
            ("[" * 100_000, "is not a file of rejects"),
        ],
        ids=["empty", "other", "newer", "nested"],
    )
    def test_what_is_no_such_file_is_an_error(self, path, text, message):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=message):
            RejectsFile(path)

    @pytest.mark.parametrize("line", ["{", "[]", '{"document": 1}', '{"document": {"a": {"$decimal": "x"}}}'])
    def test_a_line_that_is_none_is_an_error_that_says_where(self, path, line):
        written(path, legacy())
        with path.open("a") as file:
            file.write(line + "\n")
        with pytest.raises(ConfigurationError, match="is not a reject"):
            read(path)

    def test_it_is_read_in_pages(self, path):
        written(path, *(legacy(key=f"k{number}") for number in range(25)))
        with closing(RejectsFile(path)) as source:
            keys, after = [], None
            while True:
                page = source.documents(7, after)
                keys += [document["key"] for document in page.documents]
                after = page.after
                if after is None:
                    break
            assert keys == [f"k{number}" for number in range(25)]
            assert source.count() == 25


class TestRules:
    """How what could not be moved can be."""

    def test_everything_that_rules_can_mend_arrives(self, table, sink, path):
        documents = [
            legacy(key=LONG, value="long key"),
            legacy(key=LONG + "2", value="another long key"),
            legacy(user="ü" * 200, value="long user"),
            legacy(namespace="%" * 200, value="long namespace"),
            legacy(user="", value="no user"),
            legacy(key="text", value=LARGE),
            legacy(key="array", value=[LARGE[:200_000]] * 5),
            legacy(key="object", value={str(n): LARGE[:200_000] for n in range(5)}),
            legacy(key="one", value={"n": LARGE}),
            legacy(key="nan", value=float("nan")),
        ]
        report = import_legacy(table(documents), sink, rejects=path)
        assert (report.written, report.rejected, report.counts) == (0, 10, {"failed": 10})
        rest = path.with_name("rest.jsonl")
        rules = Rules(shorten=True, split=True, rename={("user", ""): "nobody"})
        with closing(RejectsFile(path)) as rejects:
            report = import_legacy(rejects, sink, rules=rules, rejects=rest)
            assert (report.read, report.rejected) == (10, 2)
            assert digest_of(sink) == report.digest
        assert [document["key"] for document in read(rest)] == ["one", "nan"]
        ann = sink.agent("ann", "host")
        assert sorted(ann.get(key) for key in ann.list_keys("kkk")) == ["another long key", "long key"]
        assert sink.agent("nobody", "host").get("plan") == "no user"
        assert "".join(map(ann.get, ann.get("text")["splitInto"])) == LARGE
        assert [item for key in ann.get("array")["splitInto"] for item in ann.get(key)] == documents[6]["value"]
        joined = {name: item for key in ann.get("object")["splitInto"] for name, item in ann.get(key).items()}
        assert joined == documents[7]["value"]
        record = ann.get_record("text/part 1")
        assert (record.created_by_agent, record.metadata) == ("writer", {"source": "web"})

    def test_a_rejected_record_that_rules_do_not_change_is_rejected_again(self, table, sink, path):
        import_legacy(table([legacy(key=LONG)]), sink, rejects=path)
        with closing(RejectsFile(path)) as rejects:
            assert import_legacy(rejects, sink, rules=Rules(split=True)).rejected == 1

    def test_the_rejects_of_a_file_do_not_go_into_that_file(self, table, sink, path):
        import_legacy(table([legacy(key=LONG)]), sink, rejects=path)
        before = path.read_bytes()
        with (
            closing(RejectsFile(path)) as rejects,
            pytest.raises(ConfigurationError, match="left untouched"),
        ):
            import_legacy(rejects, sink, rejects=path)
        assert path.read_bytes() == before

    def test_shortened_names_fit_stay_different_and_are_always_the_same(self):
        rules = Rules(shorten=True)
        names = [Name("%" * length, "ü" * length, "é" * length) for length in (1, 85, 86, 127, 128, 256, 257, 5_000)]
        shortened = [rules.name(name) for name in names]
        assert len(set(shortened)) == len(names)
        assert shortened == [rules.name(name) for name in names]
        assert shortened[:2] == names[:2]
        assert rules.name(Name("", "x", "\ud800")) == Name("", "x", "\ud800")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("user:ann=bob", (("user", "ann"), "bob")),
            ("key:a:b=c=d", (("key", "a:b"), "c=d")),
            ("namespace:=default", (("namespace", ""), "default")),
        ],
    )
    def test_renamings_are_read(self, text, expected):
        assert parse_rename(text) == expected

    @pytest.mark.parametrize("text", ["ann=bob", "agent:a=b", "user:ann", "user:ann=", ""])
    def test_what_is_no_renaming_is_an_error(self, text):
        with pytest.raises(ConfigurationError, match="write user:OLD=NEW"):
            parse_rename(text)


def test_an_import_that_is_killed_goes_on_with_its_rejects(table, sink, path, tmp_path):
    bad = [legacy(key=f"bad {number}", value=float("nan")) for number in range(10)]
    documents = [*bad[:5], *(legacy(key=f"key {number}") for number in range(2 * PAGE)), *bad[5:], *COLLIDED]
    source = table(documents)

    def interrupt(done, total):
        if done == PAGE:
            raise KeyboardInterrupt

    options = {"rejects": path, "checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(KeyboardInterrupt):
        import_legacy(source, sink, on_progress=interrupt, **options)
    report = import_legacy(source, sink, **options)
    assert (report.resumed, report.rejected, report.counts) == (PAGE, 11, {"failed": 10, "collided": 1})
    keys = [document["key"] for document in read(path)]
    assert keys == [*(f"bad {number}" for number in range(10)), "plan"]
    assert "gone" not in report.counts
