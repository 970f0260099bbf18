"""Answers with what other programs have left in documents: integers of any length, and nesting of any depth."""

from __future__ import annotations

import json
import sys

import httpx
import pytest

from datastore.errors import BackendUnavailableError
from datastore_couchdb.fetching import get_documents
from datastore_couchdb.parsing import loads
from datastore_couchdb.streaming import read_found, read_rows


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
    answer = loads(f'{{"docs":[{LONG},{FITS}]}}'.encode())
    assert answer["docs"][0]["_id"] == "a"
    assert isinstance(answer["docs"][0]["value"], ValueError)
    assert answer["docs"][0]["m"] == 1
    assert answer["docs"][1]["value"]["n"] == [(10**4_300 - 1) // 9]


NUMBERS = (0, 10**18, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**19, 10**30, 1.5, 1e300)


@pytest.mark.parametrize(
    "text", ['{"n":%s}', '{"n": %s}', '{"n":\n%s}', "[%s]", "[ %s ]", "[1,%s]", '[1,\t%s,{"a":[]}]']
)
def test_every_number_is_read_exactly_wherever_it_stands(text):
    for number in (*NUMBERS, *(-number for number in NUMBERS)):
        written = text % number
        assert repr(loads(written.encode())) == repr(json.loads(written))


def test_what_other_programs_write_beyond_json_is_read_as_before():
    """Lone surrogates and infinities: no value of the store, but not a reason to lose the documents beside them."""
    assert loads(b'["\\ud800", 1e400]') == ["\ud800", float("inf")]


@pytest.mark.parametrize("most", [0, 100, 1_000, 4_000, 10**9], ids=lambda most: f"up to {most:,} bytes")
def test_a_page_ends_after_the_row_that_exceeds_the_amount_of_data(most):
    texts = [f'{{"_id":"{n}","value":"{"x" * n}"}}' for n in range(60)]
    rows, cut = read_rows(rows_of(*((str(n), text) for n, text in enumerate(texts))), most)
    sizes = [len(json.dumps(row, separators=(",", ":"))) for row in rows]
    assert [row["id"] for row in rows] == [str(n) for n in range(len(rows))]
    assert cut == (most < 10**9)
    if cut:
        assert sum(sizes[:-1]) <= most < sum(sizes)


@pytest.mark.parametrize("most", [10, 10**9], ids=["row by row", "as a whole"])
def test_an_answer_that_ends_with_an_error_says_nothing(most):
    rest = b'],"error":"timeout","reason":"the shard did not answer"}'
    with pytest.raises(httpx.RemoteProtocolError):
        read_rows(iter([b'{"total_rows":9,"rows":[', rest]), most)
    with pytest.raises(httpx.RemoteProtocolError):
        read_found(iter([b'{"docs":[', rest]), most)


@pytest.mark.parametrize("most", [20, 10**9], ids=["row by row", "as a whole"])
def test_a_character_may_lie_across_two_pieces_and_bytes_that_are_none_are_replaced(most):
    text = '{"docs":[{"_id":"é€𝄞"},{"_id":"?"}],"bookmark":"b"}'.encode().replace(b"?", b"\xff")
    found, _ = read_found((text[at : at + 1] for at in range(len(text))), most)
    assert [one["_id"] for one in found] == ["é€𝄞", "\ufffd"]


def rows_of(*documents):
    rows = ",\n".join(f'{{"id":"{id}","key":"{id}","value":{{"rev":"1-a"}},"doc":{text}}}' for id, text in documents)
    text = f'{{"total_rows":9,"offset":0,"rows":[\n{rows}\n]}}'.encode()
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


class Says:
    """A session that gets the same answer to every request."""

    def __init__(self, answer):
        self._answer = answer

    def post(self, *_):
        return self._answer


@pytest.mark.parametrize("said", [None, 1, "text", [], {}, {"ok": None}, {"ok": 1}, {"ok": {"_id": "b"}}], ids=repr)
def test_an_answer_that_holds_no_document_and_no_reason_is_not_taken_for_a_missing_document(said):
    results = [{"id": "a", "docs": [said]}, {"id": "b", "docs": [{"error": {"error": "not_found"}}]}]
    with pytest.raises(BackendUnavailableError):
        get_documents(Says({"results": results}), ["a", "b"])
