"""Which index answers a query: equality before ranges, then the most fields, and the same one in every process."""

from itertools import permutations
from typing import NamedTuple

import pytest

from datastore.adapters.choosing import Asked, by_path, choose, fit, fit_of_first
from datastore.queries.tree import Field, In, Not, Size

EQUAL, RANGE, NOTHING = Asked.EQUAL, Asked.RANGE, Asked.NOTHING


class Index(NamedTuple):
    name: str
    namespace: str | None


def chosen(asked):
    """The name of the index that is chosen, by what a query says about the fields of each."""
    indexes = [Index(name, None) for name in asked]
    return choose(indexes, "n", lambda index: (fit(asked[index.name]), index.name))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ([EQUAL], [RANGE]),
        ([EQUAL, RANGE], [EQUAL]),
        ([EQUAL, EQUAL], [EQUAL, RANGE]),
        ([EQUAL], [RANGE, EQUAL]),
        ([EQUAL], [RANGE, EQUAL, EQUAL]),
        ([EQUAL, NOTHING], [RANGE]),
        ([RANGE, EQUAL], [RANGE]),
        ([RANGE, RANGE], [RANGE]),
        ([EQUAL, RANGE, EQUAL], [EQUAL, RANGE]),
        ([EQUAL], [EQUAL, NOTHING]),
        ([EQUAL, NOTHING, EQUAL], [EQUAL, NOTHING]),
        ([RANGE], [NOTHING, EQUAL]),
    ],
    ids=str,
)
def test_of_two_indexes_one_fits_better(better, worse):
    assert fit(better) > fit(worse)
    assert chosen({"a": worse, "b": better}) == "b"
    assert chosen({"a": better, "b": worse}) == "a"


@pytest.mark.parametrize("asked", [[], [NOTHING], [NOTHING, EQUAL]], ids=str)
def test_an_index_whose_first_field_is_not_asked_for_does_not_help(asked):
    assert not fit(asked).helps
    assert chosen({"a": asked}) is None


@pytest.mark.parametrize(
    "asked", [[], [NOTHING], [EQUAL], [RANGE, NOTHING], [EQUAL, EQUAL, RANGE], [EQUAL, NOTHING, NOTHING]], ids=str
)
def test_where_only_the_first_fields_are_asked_about_their_numbers_tell_how_well_an_index_fits(asked):
    assert fit_of_first(asked.count(EQUAL), RANGE in asked, len(asked)) == fit(asked)


def test_of_filters_on_one_path_both_count_and_what_no_index_tells_does_not():
    filters = [Field(("a",), In((1,))), Field(("b",), Size(1)), Field(("a",), In((2,))), Not(Field(("c",), In((3,))))]
    found = by_path(filters, lambda one: one.values if isinstance(one, In) else None, lambda one, other: one + other)
    assert found == {("a",): (1, 2)}


def test_of_indexes_that_fit_equally_well_the_first_by_name_is_taken_in_whichever_order_they_come():
    assert {chosen({name: [EQUAL] for name in names}) for names in permutations("cab")} == {"a"}


def test_an_index_on_another_namespace_is_not_used():
    indexes = [Index("a", "other"), Index("b", "n"), Index("c", None)]
    assert choose(indexes, "n", lambda index: (fit([EQUAL]), index)) == Index("b", "n")
    assert choose(indexes[::2], "n", lambda index: (fit([EQUAL]), index)) == Index("c", None)
    assert choose(indexes[:1], "n", lambda index: (fit([EQUAL]), index)) is None


def test_there_may_be_no_index_and_none_that_answers():
    assert choose([], "n", lambda index: (fit([EQUAL]), index)) is None
    assert choose([Index("a", None)], "n", lambda index: None) is None
