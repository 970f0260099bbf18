"""Reading logs from their end: what is read is what is returned, however many entries were appended together."""

import sqlite3
from dataclasses import replace
from random import Random

import pytest

import datastore
from datastore import DamagedRecordError
from datastore.entries import are_ids_at, key_at
from datastore.ids import encode_key
from datastore.scope import scope_of


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/agents.db"


@pytest.fixture
def agent(url):
    with datastore.connect(url) as store:
        yield store.agent("u", "agent")


@pytest.fixture
def stranger(url):
    with datastore.connect(url) as store:
        yield store.agent("u", "stranger")


@pytest.fixture
def pages(agent, monkeypatch):
    """How many records each page held that was read since."""
    pages = []
    backend = scope_of(agent).core.backend
    scan = backend.scan

    def noting(*args):
        page = scan(*args)
        pages.append(len(page.documents))
        return page

    monkeypatch.setattr(backend, "scan", noting)
    return pages


def test_of_entries_that_were_appended_together_one_record_is_read(agent, pages):
    log = agent.log("talk")
    for start in range(0, 1_000, 50):
        log.append(*range(start, start + 50))
    pages.clear()
    assert [entry.value for entry in log.read(limit=20, reverse=True)] == list(range(999, 979, -1))
    assert [entry.value for entry in log.last(60)] == list(range(940, 1_000))
    assert [entry.number for entry in log.read(before=30, limit=2, reverse=True)] == [29, 28]
    assert pages == [1, 2, 1]


def test_how_many_are_together_is_learned_by_reading(agent, stranger, pages):
    for start in range(0, 1_000, 50):
        stranger.log("talk").append(*range(start, start + 50))
    log = agent.log("talk")
    for _ in range(2):
        assert len(log.read(limit=20, reverse=True)) == 20
    assert pages == [20, 1]


def test_where_fewer_are_together_than_before_one_page_more_is_read(agent, stranger, pages):
    log = agent.log("talk")
    for start in range(0, 1_000, 50):
        log.append(*range(start, start + 50))
    for number in range(1_000, 1_010):
        stranger.log("talk").append(number)
    for expected in ([1, 20], [20]):
        pages.clear()
        assert [entry.value for entry in log.read(limit=20, reverse=True)] == list(range(1_009, 989, -1))
        assert pages == expected


def test_entries_that_were_appended_one_by_one_are_read_once(agent, pages):
    log = agent.log("talk")
    for number in range(30):
        log.append(number)
    for reverse in (False, True):
        pages.clear()
        assert len(log.read(reverse=reverse)) == 30
        assert [entry.number for entry in log.read(after=10, reverse=reverse)][:: 1 - 2 * reverse] == [*range(11, 31)]
        assert len(log.read(limit=5, reverse=reverse)) == 5
        assert len(log.read(after=25, before=28, reverse=reverse)) == 2
        assert pages == [30, 20, 5, 2]


@pytest.mark.parametrize("together", [None, 4, 9])
def test_what_is_on_several_pages_is_read_whole(agent, together, monkeypatch):
    """A page of the database has three records; one of them has two entries, or none has."""
    backend = scope_of(agent).core.backend
    monkeypatch.setattr(backend, "capabilities", replace(backend.capabilities, scan_page=3))
    log = agent.log("talk")
    number = 1
    while number < 12:
        number = log.append(*range(2 if number == together else 1)) + (2 if number == together else 1)
    for after in range(13):
        for before in (None, 1, 5, 6, 12, 13):
            for limit in (None, 1, 3, 4, 6, 20):
                meant = [at for at in range(1, number) if at > after and (before is None or at < before)]
                found = log.read(after=after, before=before, limit=limit)
                assert [entry.number for entry in found] == meant[:limit]
                found = log.read(after=after, before=before, limit=limit, reverse=True)
                assert [entry.number for entry in found] == meant[::-1][:limit]


@pytest.mark.parametrize("seed", range(12))
def test_every_part_is_read_whoever_has_appended_and_trimmed(agent, stranger, seed):
    random = Random(seed)
    sizes = random.choice([(1,), (1, 2, 3), (50, 7), (1, 1, 40)])
    name = random.choice(["talk", "a%b", "é:1", "xy"])
    logs = [agent.log(name), stranger.log(name)]
    values, first = [], 1
    for _ in range(60):
        log = random.choice(logs)
        match random.randrange(6):
            case 0 | 1 | 2:
                some = [len(values) + at for at in range(random.choice(sizes))]
                assert log.append(*some) == len(values) + 1
                values += some
            case 3:
                before = random.randint(1, len(values) + 1)
                log.trim(before=before)
                first = max(first, before)
            case _:
                limit, before = random.choice([None, 1, 5, 20, 70]), random.choice([None, random.randint(1, 200)])
                after = random.choice([0, 0, random.randint(0, 100)])
                here = [n for n in range(first, len(values) + 1) if n > after and (before is None or n < before)]
                found = log.read(after=after, before=before, limit=limit, reverse=True)
                assert [(one.number, one.value) for one in found] == [(n, n - 1) for n in here[::-1][:limit]]
                found = log.read(after=after, before=before, limit=limit)
                assert [(one.number, one.value) for one in found] == [(n, n - 1) for n in here[:limit]]


@pytest.mark.parametrize(
    "damage",
    [
        "createdByAgent = x'00'",
        "metadata = '[]'",
        "metadata = '1'",
        "metadata = 'x'",
        "createdAt = '2026-02-30T00:00:00.000000Z'",
        "createdAt = 'yesterday'",
        "value = '{'",
    ],
)
@pytest.mark.parametrize("number", [1, 9, 100])
def test_a_damaged_record_stops_the_read(agent, url, number, damage):
    """As far as it is read: whether it is looked at alone, with a few, or in a page of many."""
    log = agent.log("talk")
    for at in range(number):
        log.append({"at": at})
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        table = "agent_data_store"
        id = connection.execute(f"SELECT max(_id) FROM {table} WHERE value LIKE '%at%'").fetchone()[0]
        connection.execute(f"UPDATE {table} SET {damage} WHERE _id = ?", (id,))
    connection.close()
    for call in (log.read, lambda: log.read(reverse=True), log.last):
        with pytest.raises(DamagedRecordError):
            call()
    assert len(log.read(before=number, reverse=True) if number > 1 else []) == number - 1


def test_ids_are_told_from_those_of_other_records():
    """Each id is compared, whichever length the name of the log has."""
    for beginning in ("a:", "ab:", "abc:", "a%3Ab:", "é:"):
        prefix = "u:logs%ns:"
        ids = [prefix + encode_key(key_at(beginning, number)) for number in range(30, 0, -1)]
        numbers = range(30, 0, -1)
        assert are_ids_at(ids, prefix, beginning, numbers)
        assert are_ids_at(ids[:1], prefix, beginning, numbers[:1])
        for others in (
            [*ids[:5], ids[6], ids[5], *ids[7:]],
            [*ids[:-1], prefix + encode_key(key_at("other:", 1))],
            [*ids[:-1], "v" + ids[-1][1:]],
            [*ids[:-1], ids[-1] + "-"],
            [ids[0] + ids[1][len(prefix)], prefix + ids[1][len(prefix) + 1 :], *ids[2:]],
        ):
            assert not are_ids_at(others, prefix, beginning, numbers)
