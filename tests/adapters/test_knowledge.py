"""What is remembered of documents, and that a read of one tells what has changed."""

from __future__ import annotations

import pytest

from datastore.adapters.changes import Change, Rules, decide
from datastore.adapters.knowledge import Known, Memory
from datastore.adapters.remembering import mark_of
from datastore.backend import DONE, Document, Put

READ = Document("u:n:k", "created", "revision", None, {"a": 1})
WHOLE = READ._replace(metadata={"by": "us"}, created_by_agent="a", updated_at="later", access_count=3)


@pytest.fixture
def memory():
    """One that knows a document whole, and two others."""
    memory = Memory(3)
    memory.note_read([WHOLE], [("token", "marks", "")])
    for id in ("u:n:l", "u:n:m"):
        memory.note(id, Known("t", "r", "c", None))
    return memory


def test_one_that_is_as_it_was_stays_known_whole_and_becomes_the_newest(memory):
    before = memory.get(READ.id)
    assert (before.metadata, before.access_count, before.source) == ('{"by":"us"}', 3, None)
    memory.note_read([READ], [("token", "marks", "")])
    assert memory.get(READ.id) is before
    memory.note("u:n:n", Known("t", "r", "c", None))
    assert (memory.get("u:n:l"), memory.get(READ.id)) == (None, before)


@pytest.mark.parametrize(
    ("document", "seen"),
    [
        (READ, ("another", "marks", "")),
        (READ, ("token", "other marks", "")),
        (READ, ("token", "marks", "fences")),
        (READ._replace(revision="another"), ("token", "marks", "")),
        (READ._replace(created_at="another"), ("token", "marks", "")),
        (READ._replace(expires_at="another"), ("token", "marks", "")),
        (WHOLE._replace(metadata={}), ("token", "marks", "")),
    ],
)
def test_whatever_has_changed_is_known_afterwards(memory, document, seen):
    """Also if another program has left the token as it was."""
    memory.note_read([document], [seen])
    known = memory.get(READ.id)
    assert (known.token, known.writes, known.fences) == seen
    assert known[1:4] == (document.revision, document.created_at, document.expires_at)
    assert known.metadata == (
        "{}" if document.metadata == {} else '{"by":"us"}' if document.revision == "revision" else None
    )


def test_documents_that_were_changed_together_are_known_with_their_token_and_the_oldest_are_forgotten(memory):
    changed = [Known("old", f"revision {place}", "created", None, "{}", "marks") for place in range(2)]
    memory.note_changed(["u:n:new", "u:n:l"], changed, "new token")
    assert [memory.get(id) for id in ("u:n:new", "u:n:l")] == [one._replace(token="new token") for one in changed]
    assert (len(memory), memory.get(READ.id)) == (3, None)


def test_a_put_over_a_live_document_changes_its_own_fields_and_no_other():
    """It is made without the names of the fields."""
    first = Known("token", "before", "created", "9", "{}", mark_of("before"), "counts", "creator", "updated", 7)
    known = first._replace(last_accessed_by_agent="b", last_accessed_at="at", fences="fences", since="since")
    put = Put("u:n:k", "u", "n", "k", 1, "1", None, "agent", "8", "revision", None, keep_expiry=True)
    change = decide(put, known, Rules(), fresh=False)
    writes = mark_of("revision") + mark_of("before")
    after = known._replace(revision="revision", writes=writes, updated_at="8", updated_by_agent="agent")
    assert (type(change), change) == (Change, Change(put, known, after, DONE, True, (mark_of("revision"),)))
    assert (type(change.after), change.after) == (Known, after)
    assert decide(put._replace(keep_expiry=False), known, Rules(), fresh=False).after == after._replace(expires_at=None)
