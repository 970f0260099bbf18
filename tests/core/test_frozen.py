"""Tests of the classes that are made without `dataclasses` and `typing`: each is compared with one that these made."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
import typing

import pytest

from datastore import Capabilities, Item, frozen
from datastore.backend import Plan
from datastore.queries.tree import Query


@frozen.dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A sentence."""

    batch: int = 1_000
    shared: bool
    names: frozenset[str] = frozenset()

    @property
    def half(self) -> int:
        """Half of it."""
        return self.batch // 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """A sentence."""

    batch: int = 1_000
    shared: bool
    names: frozenset[str] = frozenset()

    @property
    def half(self) -> int:
        """Half of it."""
        return self.batch // 2


@frozen.dataclass(frozen=True, slots=True)
class OursInOrder:
    key: str
    value: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class TheirsInOrder:
    key: str
    value: object = None


PAIRS = [
    (Ours(shared=True), Theirs(shared=True)),
    (Ours(batch=3, shared=False, names=frozenset("a")), Theirs(batch=3, shared=False, names=frozenset("a"))),
    (OursInOrder("a", 1), TheirsInOrder("a", 1)),
    (OursInOrder("a"), TheirsInOrder(key="a")),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_an_instance_is_like_one_of_a_dataclass(ours, theirs):
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert hash(ours) == hash(theirs)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert dataclasses.astuple(ours) == dataclasses.astuple(theirs)
    assert ours.__getstate__() == theirs.__getstate__()
    assert not hasattr(ours, "__dict__")
    assert getattr(ours, "half", None) == getattr(theirs, "half", None)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_its_class_is_like_a_dataclass(ours, theirs):
    mine, other = type(ours), type(theirs)
    assert dataclasses.is_dataclass(mine)
    assert mine.__slots__ == other.__slots__
    assert mine.__match_args__ == other.__match_args__
    assert inspect.signature(mine) == inspect.signature(other)
    assert repr(mine.__dataclass_params__) == repr(other.__dataclass_params__)
    assert [(one.name, one.type, one.default, one.kw_only) for one in dataclasses.fields(mine)] == [
        (one.name, one.type, one.default, one.kw_only) for one in dataclasses.fields(other)
    ]


@pytest.mark.parametrize(
    "change", [dataclasses.replace, frozen.replace, *([copy.replace] if hasattr(copy, "replace") else [])]
)
def test_a_copy_can_have_other_fields(change):
    given = Ours(shared=True, batch=4)
    assert change(given, shared=False) == Ours(shared=False, batch=4)
    with pytest.raises(TypeError, match="nothing"):
        change(given, nothing=1)


def test_equal_are_instances_of_one_class_with_equal_fields():
    assert OursInOrder("a", 1) == OursInOrder("a", 1)
    assert OursInOrder("a", 1) != OursInOrder("a", 2)
    assert OursInOrder("a", 1) != TheirsInOrder("a", 1)
    assert OursInOrder("a", 1) != ("a", 1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(OursInOrder("a", []))


@pytest.mark.parametrize(
    "wrong",
    [lambda kind: kind(), lambda kind: kind("a", 1, 2), lambda kind: kind("a", other=1), lambda kind: kind("a", key=1)],
)
def test_wrong_arguments_are_refused_with_the_same_words(wrong):
    with pytest.raises(TypeError) as ours:
        wrong(OursInOrder)
    with pytest.raises(TypeError) as theirs:
        wrong(TheirsInOrder)
    assert str(ours.value) == str(theirs.value).replace("Theirs", "Ours")


@pytest.mark.parametrize("name", ["key", "other"])
def test_nothing_of_it_can_be_changed(name):
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(OursInOrder("a"), name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(OursInOrder("a"), name)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize(
    "one", [Capabilities(persistent=True, shared=False), Item("a", {"b": 1}), Plan(Query(), Query(), "x")]
)
def test_it_is_copied_and_pickled(again, one):
    assert again(one) == one


def test_a_dataclass_may_inherit_from_it():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class More(Capabilities):
        extra: int = 0

    class Named(Capabilities):
        pass

    more = More(persistent=True, shared=False, extra=3)
    assert [one.name for one in dataclasses.fields(More)][-2:] == ["abilities", "extra"]
    for change in (dataclasses.replace, frozen.replace):
        assert change(more, shared=True) == More(persistent=True, shared=True, extra=3)
    named = Named(persistent=True, shared=False)
    assert type(frozen.replace(named, shared=True)) is Named
    named.note = "its own"  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        named.shared = True  # type: ignore[misc]


def test_a_match_statement_takes_it_apart():
    match Plan(Query(), Query(), "native"):
        case Plan(pushed, _, native):
            assert (pushed, native) == (Query(), "native")


def test_what_is_not_frozen_with_slots_is_refused():
    with pytest.raises(TypeError, match="only frozen classes with slots"):
        frozen.dataclass(frozen=True, slots=False)


def test_dataclasses_is_imported_when_somebody_looks_for_the_fields():
    code = (
        "import sys; from datastore import Capabilities, Item\n"
        "from datastore.frozen import replace\n"
        "able = replace(Capabilities(persistent=True, shared=True), scan_page=3)\n"
        "assert able == able and hash(able) and repr(able) and Item('a', 1).key == 'a'\n"
        "before = 'dataclasses' in sys.modules\n"
        "import dataclasses; print(before, dataclasses.replace(able, scan_page=4).scan_page)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "4"]


class OurTuple(frozen.NamedTuple):
    """A sentence."""

    key: str
    value: int | None = None
    """What it holds."""

    @property
    def half(self) -> int:
        """Half of it."""
        return (self.value or 0) // 2


class TheirTuple(typing.NamedTuple):
    """A sentence."""

    key: str
    value: int | None = None
    """What it holds."""

    @property
    def half(self) -> int:
        """Half of it."""
        return (self.value or 0) // 2


@pytest.mark.parametrize("arguments", [("a",), ("a", 7)])
def test_a_tuple_is_like_a_named_tuple(arguments):
    ours, theirs = OurTuple(*arguments), TheirTuple(*arguments)
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert repr(ours) == repr(theirs).replace("Their", "Our")
    assert ours._asdict() == theirs._asdict()
    assert ours.half == theirs.half
    assert ours._replace(value=1) == theirs._replace(value=1)
    assert not hasattr(ours, "__dict__")
    assert pickle.loads(pickle.dumps(ours)) == ours


def test_the_class_of_a_tuple_is_like_a_named_tuple():
    assert OurTuple.__mro__ == (OurTuple, tuple, object)
    assert OurTuple.__orig_bases__ == TheirTuple.__orig_bases__
    for name in ("_fields", "_field_defaults", "__match_args__", "__doc__", "__module__"):
        assert getattr(OurTuple, name) == getattr(TheirTuple, name)
    assert OurTuple.__qualname__ == "OurTuple"
    ours, theirs = (inspect.signature(kind).parameters.values() for kind in (OurTuple, TheirTuple))
    assert [(one.name, one.kind, one.default) for one in ours] == [(one.name, one.kind, one.default) for one in theirs]
    assert typing.get_type_hints(OurTuple) == typing.get_type_hints(TheirTuple)
    assert OurTuple.key.__doc__ == TheirTuple.key.__doc__


@pytest.mark.parametrize("wrong", [lambda kind: kind(), lambda kind: kind("a", 1, 2), lambda kind: kind("a", other=1)])
def test_a_tuple_of_wrong_fields_is_refused_with_the_same_words(wrong):
    with pytest.raises(TypeError) as ours:
        wrong(OurTuple)
    with pytest.raises(TypeError) as theirs:
        wrong(TheirTuple)
    assert str(ours.value) == str(theirs.value).replace("Their", "Our")
