"""Queries by DynamoDB: what is pushed, and the expression for it, within the limits of one."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore.conformance import query_strategies as make
from datastore.errors import UnsupportedError
from datastore.queries.language import parse_query
from datastore_dynamodb.expressions import (
    FALSE,
    MOST_BYTES,
    MOST_OPERATORS,
    TRUE,
    all_of,
    among,
    any_of,
    exists,
    negate,
    render,
)
from tests.dynamodb.queries import asked, plan_of


@settings(max_examples=200, deadline=None, database=None)
@given(make.filters, st.integers(1, 40))
def test_no_expression_is_beyond_the_limits(filter, times):
    plan = plan_of({"$and": [filter, {"$or": [filter, {"x": times}]}]})
    if plan is not None:
        text = plan.native["FilterExpression"]
        assert len(text) <= MOST_BYTES
        words = re.findall(r"AND|OR|NOT|IN|[<>=]+|attribute_\w+|contains|size", text)
        assert len(words) <= MOST_OPERATORS
        assert set(re.findall(r"#n\d+", text)) == set(plan.native["ExpressionAttributeNames"])
        assert set(re.findall(r":v\d+", text)) == set(plan.native.get("ExpressionAttributeValues", {}))


def test_constants_vanish_and_parentheses_are_not_redundant():
    a, b, c = (exists((name,)) for name in "abc")
    assert all_of(a, TRUE) == any_of(a, FALSE) == negate(negate(a)) == a
    assert (all_of(a, FALSE), any_of(a, TRUE), negate(TRUE)) == (FALSE, TRUE, FALSE)
    equals = among(("a",), [("N", "1")])
    text = render(any_of(all_of(a, any_of(b, c)), negate(equals)))["FilterExpression"]
    assert text == ("(attribute_exists(#n0) AND (attribute_exists(#n1) OR attribute_exists(#n2))) OR NOT #n0 = :v0")


def test_several_negations_are_one():
    a, b, c = (among((name,), [("N", "1")]) for name in "abc")
    assert all_of(negate(a), negate(b), negate(c)) == negate(any_of(a, b, c))
    assert any_of(negate(a), c, negate(b)) == any_of(negate(all_of(a, b)), c)
    assert asked({"a": {"$not": {"$gt": 1}}, "b": {"$not": {"$gt": 2}}}).count("NOT ") == 1


def test_only_what_is_decided_is_not_checked_again():
    """Provenance is always native; values and metadata may be text."""
    plan = plan_of({"a": 1}, {"createdByAgent": "x", "metadata.a": 1, "accessCount": 1, "expiresAt": None})
    assert plan.residual == parse_query({"a": 1}, {"metadata.a": 1, "accessCount": 1})
    assert plan.pushed == parse_query({"a": 1}, {"createdByAgent": "x", "metadata.a": 1, "expiresAt": None})
    assert plan.in_order
    assert plan.index is None


def test_who_wrote_last_is_asked_for_like_an_expiry_that_may_be_missing():
    """Records of versions that did not note it are found as null."""
    assert asked(None, {"updatedByAgent": "x"}) == "updatedByAgent = 'x'"
    assert asked(None, {"updatedByAgent": ""}) == "updatedByAgent = ''"
    assert asked(None, {"updatedByAgent": None}) == (
        "attribute_type(updatedByAgent, 'NULL') OR attribute_not_exists(updatedByAgent)"
    )
    assert asked(None, {"updatedByAgent": {"$ne": "x"}}) == "NOT updatedByAgent = 'x'"
    assert plan_of(None, {"updatedByAgent": {"$in": ["x", None]}}).residual == parse_query(None)


def test_a_branch_that_cannot_be_said_leaves_the_whole_out():
    assert plan_of(None, {"$or": [{"createdByAgent": "x"}, {"accessCount": 1}]}) is None
    assert plan_of(None, {"$nor": [{"createdByAgent": "x"}, {"accessCount": 1}]}).pushed
    assert asked({"a": {"$not": {"$mod": [2, 1]}}, "b": 1}) == asked({"b": 1}), "the remainder decides"


@pytest.mark.server("dynamodb")
def test_explain_shows_the_expression(agent):
    agent.set_many({"a": {"n": 1}, "b": {"n": 2}})
    shown = agent.explain({"n": {"$gt": 1}})
    assert shown["native"] == {
        "FilterExpression": "attribute_not_exists(#n0) OR #n0.#n1 > :v0 OR attribute_type(#n0.#n1, :v1)",
        "ExpressionAttributeNames": {"#n0": "value", "#n1": "n"},
        "ExpressionAttributeValues": {":v0": {"N": "1"}, ":v1": {"S": "L"}},
    }
    assert (shown["documents_read"], shown["documents_returned"]) == (1, 1)


@pytest.mark.server("dynamodb")
def test_dynamodb_declares_no_indexes(store):
    assert store.capabilities.supports("find")
    assert not store.capabilities.supports("ensure_index")
    with pytest.raises(UnsupportedError, match="dynamodb"):
        store.ensure_index(["n"])
