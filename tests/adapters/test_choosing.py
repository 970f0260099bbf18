"""Which index answers a query: equality before ranges, then the most fields, and the same one in every process."""

from itertools import permutations

import pytest

from datastore.adapters.choosing import Asked, best, fit

EQUAL, RANGE, NOTHING = Asked.EQUAL, Asked.RANGE, Asked.NOTHING


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
    assert best([(fit(worse), "a", "worse"), (fit(better), "b", "better")]) == "better"


@pytest.mark.parametrize("asked", [[], [NOTHING], [NOTHING, EQUAL]], ids=str)
def test_an_index_whose_first_field_is_not_asked_for_does_not_help(asked):
    assert not fit(asked).helps
    assert best([(fit(asked), "a", "index")]) is None


def test_of_indexes_that_fit_equally_well_the_first_by_name_is_taken_in_whichever_order_they_come():
    candidates = [(fit([EQUAL]), name, name.upper()) for name in ("c", "a", "b")]
    assert {best(order) for order in permutations(candidates)} == {"A"}


def test_there_may_be_no_index():
    assert best([]) is None
