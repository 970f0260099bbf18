"""What holds on every database for a record that another program has damaged: it is an error that names it, and it
harms no other record.

An adapter's ``test_damage.py`` says what can be wrong on its database, and how another program writes it there.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from contextlib import suppress
from typing import Any

import pytest

import datastore
from datastore import DamagedRecordError
from datastore.ids import area_prefix, encode_key
from datastore.moving import copy

SECRET = "5ecret"
"""What no error may show: it is in what was damaged."""
OTHERS = {f"k{number}": {"n": number} for number in range(3)}
ID = f"u:default:{encode_key('bad')}"


class DamagedRecords:
    """The record ``bad`` of a namespace, damaged in one way after another, beside three that are not.

    Attributes:
        ways: What `plant` takes, by what is wrong then. A record with ``no revision`` counts as foreign: it is left to
            whoever wrote it.
        in_the_value: Where the value itself cannot be read.
        removed_uncounted: Where somebody who has not seen the record removes it and takes it for missing.
        lists_foreign: Whether keys are listed without a look into the documents, and so those of foreign ones, too.
    """

    ways: dict[str, Any]
    in_the_value: Container[str]
    removed_uncounted: Container[str] = ()
    lists_foreign = False

    def plant(self, store, id, change):
        """Change a document, past the store, as another program might."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc):
        if "damage" in metafunc.fixturenames:
            metafunc.parametrize("damage", metafunc.cls.ways, indirect=True)

    @pytest.fixture
    def damage(self, request, store, agent):
        """What is wrong with the record ``bad``, which this process has written and another one then edited."""
        agent.set_many({**OTHERS, "bad": {"n": 7, "s": SECRET}}, {"m": 1})
        self.plant(store, ID, self.ways[request.param])
        return request.param

    def test_asked_for_by_its_key_it_is_an_error_that_names_it(self, agent, damage):
        with pytest.raises(DamagedRecordError) as caught:
            agent.get_record("bad")
        assert caught.value.id == ID
        assert SECRET not in str(caught.value)
        if damage in self.in_the_value:
            for call in (
                lambda: agent.get("bad"),
                lambda: agent.get_many(["k0", "bad"]),
                lambda: agent.increment("bad"),
            ):
                with pytest.raises(DamagedRecordError):
                    call()

    def test_it_is_left_out_of_listings_and_finds_with_a_warning(self, agent, damage, caplog):
        assert sorted(record.key for record in agent.iter_records()) == sorted(OTHERS)
        warnings = [record for record in caplog.records if record.name == "datastore"]
        assert [warning.levelno for warning in warnings] == [logging.WARNING]
        assert ID in warnings[0].getMessage()
        assert SECRET not in warnings[0].getMessage()
        assert agent.find({"n": {"$lt": 5}}) == OTHERS
        assert agent.find({"n": 1}) == {"k1": {"n": 1}}
        assert agent.get_all().keys() - {"bad"} == OTHERS.keys()
        assert set(agent.list_keys()) - {"bad"} == OTHERS.keys()
        assert agent.list_namespaces() == ["default"]

    def test_it_is_left_out_of_listings_from_the_last_to_the_first(self, agent, damage):
        expected = sorted(OTHERS, reverse=True)
        assert [record.key for record in agent.iter_records(reverse=True)] == expected
        for limit in (1, 2):
            cursor, keys = None, []
            while True:
                page = agent.scan(limit=limit, reverse=True, cursor=cursor)
                keys += [record.key for record in page.records]
                cursor = page.cursor
                if cursor is None:
                    break
            assert keys == expected
        assert agent.first().key == "k0"
        assert agent.last().key == "k2"

    def test_it_is_removed_like_any_other(self, agent, damage):
        assert agent.delete("bad")
        assert not agent.exists("bad")
        assert agent.get_all() == OTHERS

    def test_it_is_removed_by_a_process_that_has_not_seen_it(self, url, agent, damage):
        with datastore.connect(url) as other:
            removed = other.agent("u", "b").delete("bad")
        assert removed or damage in self.removed_uncounted
        assert agent.get_all() == OTHERS

    def test_it_is_removed_with_others_and_with_its_namespace(self, store, agent, damage):
        assert agent.delete_many(["k0", "bad"]) == 2
        agent.set("bad", 1)
        self.plant(store, ID, self.ways[damage])
        foreign = damage == "no revision"  # never the store's own: it is left to whoever wrote it
        assert agent.clear() == (2 if foreign else 3)
        assert agent.list_keys() == (["bad"] if foreign and self.lists_foreign else [])
        assert agent.delete("bad") is foreign

    def test_a_set_over_it_says_so_or_mends_it(self, agent, damage):
        try:
            agent.set("bad", {"n": 8}, {"m": 2})
            agent.get_record("bad")
        except DamagedRecordError:
            agent.delete("bad")
            agent.set("bad", {"n": 8}, {"m": 2})
        assert agent.get_record("bad").value == {"n": 8}

    def test_counting_accesses_from_before_the_damage_harms_no_other(self, store, agent, damage):
        agent.delete("bad")
        agent.set("bad", {"n": 7, "s": SECRET}, {"m": 1})
        agent.get_many(["k0", "bad"])
        self.plant(store, ID, self.ways[damage])
        store.flush()
        assert agent.get_record("k0").access_count == 1

    def test_beside_the_records_it_stops_nothing_that_is_done_for_all(self, store, agent, damage):
        """The heads of a run that is due, of one that is over, and of a blob, and the end of a log."""
        runs, blobs = agent.runs, agent.blobs
        for name in ("bad", "good"):
            with runs.start(f"{name}-due") as run:
                run.wait_for("go")
            runs.signal(f"{name}-due", "go")
            runs.start(f"{name}-done").finish()
            blobs.put(name, b"old", grace=1e-6)
            blobs.put(name, b"new", grace=1e-6)
            agent.log(name).append(1)
        for area, key in (
            ("runs", "h/bad-due"),
            ("runs", "h/bad-done"),
            ("blobs", "head/bad"),
            ("logs", "bad:0000000000000001"),
        ):
            self.plant(store, area_prefix("u:default:", area) + encode_key(key), self.ways[damage])
        assert "good-due" in runs.due()
        assert {one.id for one in runs.list()} >= {"good-due", "good-done"}
        assert [one.id for one in runs.list("done") if one.id != "bad-done"] == ["good-done"]
        assert runs.prune(keep=0) >= 1
        assert runs.get("good-done") is None
        assert "good" in [blob.name for blob in blobs.list()]
        assert agent.purge_expired() >= 1
        assert blobs.get("good") == b"new"
        assert "good" in agent.list_logs()
        for name, call in (("bad-due", runs.get), ("bad-done", runs.get), ("bad", blobs.get), ("bad", blobs.stat)):
            with suppress(DamagedRecordError):
                call(name)

    def test_a_copy_reports_what_it_leaves_behind(self, store, agent, damage):
        with datastore.connect("memory://") as target:
            report = copy(store, target)
            assert (report.written, report.counts, report.left_out) == (3, {"failed": 1}, 0)
            assert report.problems[0].where == ID
