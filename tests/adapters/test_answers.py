"""An answer that is not whole is a lost answer, and what is wrong with it is said without quoting it."""

import pytest

from datastore import BackendUnavailableError
from datastore.adapters.answers import member, one_each


def test_what_is_whole_is_handed_over():
    answer = {"rows": [1, 2], "n": 0}
    assert member(answer, "rows", list, "couchdb") is answer["rows"]
    assert member(answer, "n", (int, float), "couchdb") == 0
    assert one_each(answer["rows"], 2, "couchdb") is answer["rows"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "it has no 'rows'"),
        ({"rows": "secret"}, "'rows' is of the type str"),
        ({"rows": None}, "'rows' is of the type NoneType"),
        (["secret"], "it is of the type list, not an object"),
        (None, "it is of the type NoneType, not an object"),
    ],
    ids=str,
)
def test_a_member_that_is_missing_or_of_another_kind_is_said(answer, words):
    with pytest.raises(BackendUnavailableError, match=f"the server's answer is incomplete or wrong: {words}") as caught:
        member(answer, "rows", list, "couchdb")
    assert caught.value.backend == "couchdb"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("answers", [[], ["secret"], ["secret"] * 3, {"0": 1, "1": 2}, None], ids=str)
def test_a_batch_with_more_or_fewer_answers_is_said(answers):
    with pytest.raises(BackendUnavailableError, match="it does not have one entry for each of 2") as caught:
        one_each(answers, 2, "couchdb")
    assert "secret" not in str(caught.value)
