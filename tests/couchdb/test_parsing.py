"""Answers with what other programs have left in documents: integers of any length, and nesting of any depth."""

from __future__ import annotations

import sys

import pytest

from datastore_couchdb.parsing import loads
from datastore_couchdb.streaming import read_rows


@pytest.fixture(params=[640, 4_300, 100_000, 0], ids=lambda limit: f"limit {limit}")
def interpreters_limit(request):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield
    sys.set_int_max_str_digits(before)


LONG = '{"_id":"a","value":{"n":[%s]},"m":1}' % ("1" * 1_000_000)


FITS = '{"_id":"b","value":{"n":[%s]}}' % ("1" * 4_300)


def test_an_integer_that_is_too_long_costs_its_document_and_no_other(interpreters_limit):
    """Real servers keep any number; those of the tests are JavaScript."""
    answer = loads(f'{{"docs":[{LONG},{FITS}]}}')
    assert answer["docs"][0]["_id"] == "a"
    assert isinstance(answer["docs"][0]["value"], ValueError)
    assert answer["docs"][0]["m"] == 1
    assert answer["docs"][1]["value"]["n"] == [(10**4_300 - 1) // 9]


def rows_of(*documents):
    rows = ",\n".join(f'{{"id":"{id}","key":"{id}","value":{{"rev":"1-a"}},"doc":{text}}}' for id, text in documents)
    text = f'{{"total_rows":9,"offset":0,"rows":[\n{rows}\n]}}'
    return iter([text[start : start + 65_536] for start in range(0, len(text), 65_536)])


def test_nor_does_it_end_a_listing(interpreters_limit):
    rows, cut = read_rows(rows_of(("a", LONG), ("b", FITS)), 10**9)
    assert not cut
    assert isinstance(rows[0]["doc"]["value"], ValueError)
    assert rows[1]["doc"]["value"]["n"] == [(10**4_300 - 1) // 9]


def test_a_document_that_is_nested_too_deep_does_not_end_a_listing():
    deep = '{"_id":"a","text":"}]\\"{","value":' + "[" * 200_000 + "]" * 200_000 + "}"
    rows, cut = read_rows(rows_of(("a", deep), ("b", '{"_id":"b","value":1}')), 10**9)
    assert not cut
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["doc"] == {"_id": "a"}
