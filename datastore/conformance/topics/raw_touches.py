"""`Touch` and what else a write says about expiry, and who wrote last, tested on the adapter itself."""

from __future__ import annotations

import hashlib
from typing import Any

from datastore.backend import Access, Backend, Delete, Outcome, Put, Touch
from datastore.conformance.documents import apply, at, id_of, is_stored, put, stored
from datastore.conformance.topic import Topic

NOTHING = Outcome(False, None)


def touch(key: str, expires_at: str | None, moment: float = 0) -> Touch:
    """Return the write that moves the expiry of a key's document."""
    return Touch(id_of(key), at(moment), expires_at)


class RawTouches(Topic):
    """Moves an expiry, and leaves everything else."""

    def test_a_touch_moves_the_expiry_and_nothing_else(self, backend: Backend) -> None:
        """Neither value, metadata, revision nor any time or agent changes; expiries come, move and go."""
        value = {"text": "long " * 200, "number": 2**70, "nested": [[1.0]]}
        apply(backend, [put("key", value, metadata={"a": 1}, agent="creator")])
        backend.record_access([Access(id_of("key"), at(0), 3, "reader", at(1))])
        before = stored(backend, "key")
        for expires_at in (at(60), at(90), at(30), None):
            assert apply(backend, [touch("key", expires_at, 2)])[0].done
            assert stored(backend, "key") == before._replace(expires_at=expires_at)

    def test_a_touch_needs_a_live_document(self, backend: Backend) -> None:
        """It creates nothing, and wakes nothing that has expired, were it at this very moment."""
        apply(backend, [put("expired", 1, expires_at=at(10))])
        assert apply(backend, [touch("missing", at(60)), touch("expired", at(60), 10)]) == [NOTHING, NOTHING]
        assert not is_stored(backend, "missing")
        if is_stored(backend, "expired"):
            assert stored(backend, "expired").expires_at == at(10)

    def test_a_touch_may_come_twice(self, backend: Backend) -> None:
        """If its answer was lost, the store sends it again."""
        apply(backend, [put("key", 1)])
        assert [apply(backend, [touch("key", at(60))])[0].done for _ in range(2)] == [True, True]
        assert stored(backend, "key").expires_at == at(60)

    def test_touches_stand_in_a_batch_with_other_writes(self, backend: Backend) -> None:
        """Each has its outcome in its place."""
        apply(backend, [put(key, 1) for key in ("touched", "put", "deleted")])
        outcomes = apply(
            backend,
            [
                touch("touched", at(60), 1),
                put("put", 2, at=at(1)),
                touch("missing", at(60), 1),
                Delete(id_of("deleted"), at(1)),
            ],
        )
        assert [outcome.done for outcome in outcomes] == [True, True, False, True]
        assert (stored(backend, "touched").expires_at, stored(backend, "touched").value) == (at(60), 1)
        assert stored(backend, "put").value == 2

    def test_a_write_at_a_revision_stands_after_a_touch(self, backend: Backend) -> None:
        """A touch keeps the revision, so who read before it may still write."""
        first = put("key", 1)
        apply(backend, [first])
        apply(backend, [touch("key", at(60), 1)])
        assert apply(backend, [put("key", 2, at=at(2), if_revision=first.revision)])[0].done

    def test_a_value_in_parts_survives_a_touch(self, backend: Backend) -> None:
        """A value that is larger than the database's own limit is whole afterwards, and expires as a whole."""
        value = [hashlib.sha256(f"{number}".encode()).hexdigest() for number in range(13_000)]  # cannot be compressed
        apply(backend, [put("large", value)])
        assert apply(backend, [touch("large", at(60), 1)])[0].done
        document = stored(backend, "large")
        assert (document.value, document.expires_at) == (value, at(60))

    def test_a_put_can_keep_the_expiry_of_a_live_document(self, backend: Backend) -> None:
        """So a change that was read before a touch does not take the touch back. A new document gets the put's own."""
        keeping: list[dict[str, Any]] = [
            {},
            {"metadata": {"a": 1}},
            {"if_revision": "first"},
            {"if_revision": "first", "metadata": {"a": 1}},
        ]
        for number, more in enumerate(keeping):
            live, new, expired = (f"{kind} {number}" for kind in ("live", "new", "expired"))
            writes: list[Put | Delete | Touch] = [put(live, 1, revision="first", expires_at=at(60))]
            writes.append(put(expired, 1, revision="first", expires_at=at(5)))
            apply(backend, writes)
            apply(backend, [touch(live, at(90), 1)])
            assert apply(backend, [put(live, 2, at=at(10), expires_at=at(20), keep_expiry=True, **more)])[0].done
            assert (stored(backend, live).value, stored(backend, live).expires_at) == (2, at(90))
            if "if_revision" not in more:
                fresh = [put(key, 2, at=at(10), expires_at=at(20), keep_expiry=True, **more) for key in (new, expired)]
                assert all(outcome.done for outcome in apply(backend, fresh))
                assert [stored(backend, key).expires_at for key in (new, expired)] == [at(20), at(20)]

    def test_a_document_says_who_wrote_it_last(self, backend: Backend) -> None:
        """Each put notes its agent; reading, counting and touching do not. The empty name is the host's."""
        apply(backend, [put("key", 1, agent="creator")])
        assert stored(backend, "key").updated_by_agent == "creator"
        for agent, metadata in (("second", None), ("third", {"a": 1}), ("", None)):
            apply(backend, [put("key", 2, agent=agent, at=at(1), metadata=metadata)])
            backend.record_access([Access(id_of("key"), at(0), 1, "reader", at(2))])
            apply(backend, [touch("key", at(60), 3)])
            document = stored(backend, "key")
            assert (document.created_by_agent, document.updated_by_agent) == ("creator", agent)
        apply(backend, [put("of the host", 1, agent="")])
        document = stored(backend, "of the host")
        assert (document.created_by_agent, document.updated_by_agent) == ("", "")
        apply(backend, [put("expired", 1, agent="old", expires_at=at(10))])
        apply(backend, [put("expired", 2, agent="new", at=at(20))])
        document = stored(backend, "expired")
        assert (document.created_by_agent, document.updated_by_agent) == ("new", "new")

    def test_a_certain_delete_is_done_where_nothing_is_in_doubt(self, backend: Backend) -> None:
        """It is a delete at a revision as any other."""
        first = put("key", 1)
        apply(backend, [first])
        certain = Delete(id_of("key"), at(1), "another", certain=True)
        assert apply(backend, [certain]) == [Outcome(False, first.revision)]
        assert apply(backend, [certain._replace(if_revision=first.revision)])[0].done
        assert apply(backend, [certain._replace(if_revision=first.revision)]) == [NOTHING]
