"""What a statement takes of the changes of a call, without a server."""

import pytest

from datastore.adapters.changes import Change, Rules, decide
from datastore.adapters.knowledge import ABSENT, Known
from datastore.backend import Delete, Fence, Put
from datastore_postgresql import writing

LEASE = Fence("lease", 3)
PLAIN = Put("u:n:a", "u", "n", "a", 1, "1", None, "agent", "2026-01-01T00:00:00.000000Z", "r1", None)
OTHERS = [
    {},
    {"expires_at": "2026-01-02T00:00:00.000000Z"},
    {"keep_expiry": True},
    {"if_revision": "before"},
    {"fence": LEASE},
    {"json": "[1e16]"},
    {"json": "0.5", "agent": "", "revision": "r\0"},
    {"agent": "\x01"},
    {"metadata": {}},
]
KNOWN = Known("t", "before", "2025", "2027-01-01T00:00:00.000000Z", None, "", "", "maker", fences="other:1")


def change(*, over=KNOWN, **different):
    made = decide(PLAIN._replace(**different), over, Rules(replaces_whole=False), fresh=False)
    assert isinstance(made, Change)
    return made


def by_rows(changes):
    given = [writing._row_of(one, "token") for one in changes]
    return writing._columns_of([row for _, row in given]) | {"how": [how for how, _ in given]}


@pytest.mark.parametrize("first", OTHERS, ids=str)
@pytest.mark.parametrize("second", OTHERS, ids=str)
def test_plain_puts_give_the_same_columns_together_as_one_by_one(first, second):
    changes = [change(**first), change(**second, over=KNOWN._replace(fences="", token="u"))]
    assert writing._plain_columns(changes, "token") == by_rows(changes)


@pytest.mark.parametrize(
    "other",
    [
        change(metadata={"a": 1}, over=KNOWN._replace(metadata="{}")),
        change(content=b"content", value={"sha256": "00" * 32}),
        change(vector=b"\0" * 8),
        change(over=ABSENT),
        change(over=KNOWN._replace(expires_at=PLAIN.at)),
        Change(Delete("u:n:a", PLAIN.at), KNOWN, ABSENT, None, live=True),
    ],
    ids=["metadata", "content", "vector", "new", "expired", "delete"],
)
def test_anything_else_is_taken_one_by_one(other):
    assert writing._plain_columns([change(), other], "token") is None
