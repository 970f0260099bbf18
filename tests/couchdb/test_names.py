"""Names that people, and so ICU, consider equal: no count and no listing includes another name's records."""

import pytest

from datastore.conformance.samples import in_order

pytestmark = pytest.mark.server("couchdb")

ALIKE = {
    "a letter composed and decomposed": ("café", "cafe\u0301"),
    "a zero width joiner": ("ab", "a\u200db"),
    "a soft hyphen": ("ab", "a\u00adb"),
    "the letter and the unit": ("Å", "\u212b"),
}


@pytest.fixture(params=ALIKE.values(), ids=ALIKE)
def alike(request):
    return request.param


def test_namespaces_that_look_alike_are_counted_and_listed_each_for_itself(agent, alike):
    for number, name in enumerate(alike, 1):
        agent.use_namespace(name).set_many({f"k{i}": i for i in range(number)})
    assert [agent.use_namespace(name).count() for name in alike] == [1, 2]
    assert agent.list_namespaces() == in_order(alike)


def test_users_who_look_alike_see_nothing_of_each_other(store, alike):
    agents = [store.agent(user, "a") for user in alike]
    for number, agent in enumerate(agents, 1):
        agent.set_many({f"k{i}": i for i in range(number)})
        agent.use_namespace(f"of {number}").set_many({f"k{i}": i for i in range(5)}, ttl=0.001)
        agent.use_namespace(f"with {number}").set("k", 1)
    assert [agent.count() for agent in agents] == [1, 2]
    assert [agent.list_namespaces() for agent in agents] == [["default", "with 1"], ["default", "with 2"]]
    assert store.forget(alike[0]) == (2, 5)
    assert [agent.count() for agent in agents] == [0, 2]
    assert agents[1].list_namespaces() == ["default", "with 2"]
