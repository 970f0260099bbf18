"""What the simulator says of memory: of histories written by hand."""

from datastore.conformance.simulation.around import memory, vaults
from datastore.conformance.simulation.around.memory import _cosine, _nearest
from tests.simulation.test_checking import LOST, call, is_explained

HELD = "ann 1"


def added(key, text, begins, ends, ttl=None, **more):
    return call("memory_add", (key, text, ttl), begins, ends, key, **more)


def searched(begins, ends, *found, n=9, keywords=False, query="q"):
    result = [(key, text, "r1", *_nearest(query, text)) for key, text in found]
    return call("memory_search", (query, n, keywords), begins, ends, result)


def said(*calls):
    return [line.partition(":")[0] for judge in (memory, vaults) for line in judge.wrong(calls)]


def test_what_was_acknowledged_is_found():
    assert said(added("t1", HELD, 1, 2), searched(3, 4)) == ["texts lost"]
    assert said(added("t1", HELD, 1, 2), searched(3, 4, ("t1", HELD))) == []
    assert said(added("t1", HELD, 1, 3), searched(2, 4)) == [], "it was being added"
    assert said(added("t1", HELD, 1, 2, ttl=1), searched(3, 4)) == [], "it may have expired"
    gone = call("memory_delete", ("t1",), 5, 6, True)
    assert said(added("t1", HELD, 1, 2), gone, searched(7, 8)) == []
    assert said(added("t1", HELD, 1, 2), searched(3, 4), gone) == ["texts lost"]
    lost = call("memory_edit", ("t1", "x"), 3, 4, error=LOST)
    assert said(added("t1", HELD, 1, 2), lost, searched(5, 6)) == [], "nobody knows what became of the edit"


def test_what_is_found_was_there():
    assert is_explained(added("t1", HELD, 1, 2), searched(3, 4, ("t1", HELD)))
    assert not is_explained(searched(3, 4, ("t1", HELD)))
    gone = call("memory_delete", ("t1",), 3, 4, True)
    assert not is_explained(added("t1", HELD, 1, 2), gone, searched(5, 6, ("t1", HELD)))
    edited = call("memory_edit", ("t1", "x"), 3, 4, True)
    assert not is_explained(added("t1", HELD, 1, 2), edited, searched(5, 6, ("t1", HELD)))
    assert is_explained(added("t1", HELD, 1, 2), edited, searched(3, 6, ("t1", HELD)))


def test_the_nearest_are_found_in_order():
    texts = sorted((("t1", "a"), ("t2", "b"), ("t3", "c")), key=lambda one: -_cosine("q", one[1]))
    calls = [added(*one, place, place + 0.5) for place, one in enumerate(texts)]
    assert said(*calls, searched(5, 6, *texts)) == []
    assert said(*calls, searched(5, 6, *reversed(texts))) == ["not in order"]
    assert said(*calls, searched(5, 6, texts[0], n=1)) == []
    assert said(*calls, searched(5, 6, texts[1], n=1)) == ["texts lost"]
    assert said(*calls, searched(5, 6, *texts, n=2)) == ["too much"]
    wrong = searched(5, 6, *texts)
    wrong.result[0] = (*wrong.result[0][:3], 0.5, None)
    assert "a wrong score" in said(*calls, wrong)


def test_the_nearest_part_is_shown():
    long = f"{HELD}\n\n{HELD} for a long time"
    assert said(added("t1", long, 1, 2), searched(3, 4, ("t1", long))) == []
    wrong = searched(3, 4, ("t1", long))
    wrong.result[0] = (*wrong.result[0][:4], None)
    assert said(added("t1", long, 1, 2), wrong) == ["a wrong part"]


def in_vault(number, text, begins, ends, **more):
    return call("vault_add", (text,), begins, ends, number, **more)


def test_what_has_a_vector_is_found_in_a_vault_under_its_own_number():
    made = call("vault_vectors", (), 3, 4, 1)
    found, none = (call("vault_similar", ("q",), 5, 6, result) for result in ([(0, HELD)], []))
    assert said(in_vault(0, HELD, 1, 2), made, found) == []
    assert said(in_vault(0, HELD, 1, 2), made, none) == ["items lost"]
    assert said(in_vault(0, HELD, 1, 2), none) == [], "it has no vector yet"
    assert said(in_vault(0, HELD, 1, 3.5), made, none) == [], "it was being added"
    assert said(in_vault(0, HELD, 1, 2), made, call("vault_delete", (0,), 4, 7, 1), none) == []
    assert said(in_vault(1, HELD, 1, 2), made, found) == ["another's number", "items lost"]
    assert said(made, found) == ["nobody's item"]
    assert said(in_vault(0, HELD, 1, 2), in_vault(0, "x", 1, 2)) == ["two items have one number"]
