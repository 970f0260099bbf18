"""A vector vault: no two items have one number, and what was added before all vectors were made is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from datastore import AgentDataStore, VectorVault
from datastore.conformance.simulation.around.memory import in_parts, with_embedder
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Kind

_NAME, _ALL = "vault", 99
"""The vault, and more than the items that it has."""


def _vault(store: AgentDataStore) -> VectorVault:
    return with_embedder(store).vector_vault(_NAME)


def _similar(store: AgentDataStore, query: str) -> list[tuple[int, str]]:
    return [(one["metadata"]["item_id"], one["data"]) for one in _vault(store).get_similar(query, _ALL)]


KINDS: dict[str, Kind] = {
    "vault_add": Kind(3, lambda d: (in_parts(d.value("a")),), lambda s, m, v: _vault(s).add(v), lambda c, _: ()),
    "vault_vectors": Kind(3, lambda d: (), lambda s, m: _vault(s).get_vectors(), lambda c: ()),
    "vault_delete": Kind(
        1, lambda d: (d.random.randrange(4),), lambda s, m, n: _vault(s).delete_items(n), lambda c, _: ()
    ),
    "vault_similar": Kind(3, lambda d: (d.value("a"),), lambda s, m, q: _similar(s, q), lambda c, _: ()),
}


def wrong(history: Sequence[Call]) -> Iterator[str]:
    """Yield what is wrong with the numbers of a vault, and with what was found in it."""
    if any(call.is_unsettled for call in history):
        return
    adds = [call for call in history if call.name == "vault_add"]
    done = [call for call in adds if call.error is None and call.returned < inf]
    made = [call for call in history if call.name == "vault_vectors"]
    deleted = [call for call in history if call.name == "vault_delete"]
    texts, numbers = dict[int, str](), {call.arguments[0]: call.result for call in done}
    for call in done:
        if texts.setdefault(call.result, call.arguments[0]) != call.arguments[0]:
            yield f"two items have one number: {call} of {call.thread} has {call.result}"
    for call in history:
        if call.name != "vault_similar" or call.error is not None or call.returned == inf:
            continue
        for number, text in call.result:
            if texts.setdefault(number, text) != text or numbers.setdefault(text, number) != number:
                yield f"another's number: {call} of {call.thread} has {text!r} for {number}"
            if not any(add.arguments[0] == text and add.invoked < call.returned for add in adds):
                yield f"nobody's item: {call} of {call.thread} has {text!r}"
        found = {number for number, _ in call.result}
        gone = {one.arguments[0] for one in deleted if one.invoked < call.returned}
        for add in done:
            meanwhile = (one for one in made if one.invoked < add.returned and add.invoked < one.returned)
            if add.result in found | gone or any(meanwhile):
                continue  # whoever makes vectors while an item is added may give it up, by a clock that jumps
            if any(one.error is None and add.returned < one.invoked < one.returned < call.invoked for one in made):
                yield f"items lost: {call} of {call.thread} lacks {add.result}"
