"""What a filter finds, and how it reads in DynamoDB's language."""

import re

from datastore.conformance.samples import same
from datastore.ids import encode_key
from datastore.queries.language import parse_query
from datastore.queries.matcher import compile_filter
from datastore_dynamodb import queries


def expected(items, filter):
    matches = compile_filter(parse_query(filter).value)
    return {key: items[key] for key in sorted(items, key=encode_key) if matches(items[key])}


def check(agent, items, *asked):
    """Store items, ask for each filter, and compare with the reference."""
    agent.set_many(items)
    for filter in asked:
        found, wanted = agent.find(filter), expected(items, filter)
        assert list(found) == list(wanted), filter
        assert same(found, wanted), filter


def plan_of(filter=None, meta=None):
    return queries.plan(parse_query(filter, meta))


def asked(filter=None, meta=None):
    """The expression for a filter, with its names and values in place."""
    native = plan_of(filter, meta).native
    text = re.sub(r"#n\d+", lambda match: native["ExpressionAttributeNames"][match[0]], native["FilterExpression"])
    values = native.get("ExpressionAttributeValues", {})
    return re.sub(r":v\d+", lambda match: repr(next(iter(values[match[0]].values()))), text)
