"""Values as objects of the types that a program has for them: ``get(key, type=Plan)`` and its like."""

from __future__ import annotations

import functools
import subprocess
import sys
import traceback
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

import datastore
from datastore import InvalidValueError
from datastore.conformance.faults import Untouchable
from datastore.validating import _kept_adapter
from datastore_memory import MemoryBackend
from tests.core.nasty import NASTY

SECRET = "s3cret"


class Step(BaseModel):
    at: datetime
    cost: int = 0


class Plan(BaseModel):
    goal: str
    steps: list[Step] = []


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    at: datetime
    tags: set[str]
    id: uuid.UUID


@dataclass
class Visit:
    city: str
    days: int


class Price(TypedDict):
    amount: float


class Checked(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def refuse(cls, name: str) -> str:
        if name == "custom":
            raise PydanticCustomError("own", "no {name}", {"name": SECRET})
        if name == "fault":
            raise LookupError(name)
        assert name != "assertion", SECRET
        raise ValueError(SECRET)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.fixture
def data_store():
    with datastore.connect("memory://") as store:
        yield store.agent("ann", "planner")


def accesses(data_store):
    return {record.key: record.access_count for record in data_store.iter_records()}


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (
            {"goal": "buy", "steps": [{"at": "2026-01-31T12:00:00Z"}]},
            Plan,
            Plan(goal="buy", steps=[Step(at=datetime(2026, 1, 31, 12, tzinfo=UTC))]),
        ),
        (
            {"at": "2026-01-31T12:00:00Z", "tags": ["a"], "id": str(uuid.UUID(int=7))},
            Strict,
            Strict(at=datetime(2026, 1, 31, 12, tzinfo=UTC), tags={"a"}, id=uuid.UUID(int=7)),
        ),
        ({"city": "Bath", "days": 2}, Visit, Visit("Bath", 2)),
        ({"amount": 2}, Price, {"amount": 2.0}),
        ([{"city": "Bath", "days": 2}], list[Visit], [Visit("Bath", 2)]),
        ({"kind": "dog"}, Pet, Dog(kind="dog")),
        (2**70, int, 2**70),
        (-(10**4_299), int, -(10**4_299)),
        (None, int | None, None),
        ({"a": [2**70, 1.0, True, "\u2028é"]}, object, {"a": [2**70, 1.0, True, "\u2028é"]}),
    ],
    ids=["model", "strict model", "dataclass", "TypedDict", "list", "union", "large", "largest", "null", "any"],
)
def test_a_value_becomes_an_object_of_the_type(data_store, value, form, expected):
    data_store.set("key", value)
    assert data_store.get("key", type=form) == expected
    assert data_store.get_many(["key", "missing"], type=form) == {"key": expected}
    assert data_store.get_all(type=form) == {"key": expected}
    assert data_store.find({}, type=form) == {"key": expected}
    assert type(data_store.get("key", type=form)) is type(expected)
    assert accesses(data_store) == {"key": 5}


def test_the_deepest_value_is_validated_too(data_store):
    value = 1
    for _ in range(200):
        value = [value]
    data_store.set("key", value)
    assert data_store.get("key", type=list) == value


def test_a_default_is_returned_as_it_is(data_store):
    assert data_store.get("missing", type=Plan) is None
    assert data_store.get("missing", "nothing", type=Plan) == "nothing"


def test_what_is_chosen_of_a_value_is_what_is_validated(data_store):
    data_store.set("plan", {"goal": "buy", "note": 5})
    assert data_store.find({}, fields=["goal"], type=dict[str, str]) == {"plan": {"goal": "buy"}}
    with pytest.raises(InvalidValueError, match=r"value\.note should be a valid string"):
        data_store.find({}, type=dict[str, str])


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        ({"steps": []}, Plan, "the value does not fit Plan: value.goal is missing"),
        (SECRET, Plan, "Plan: value should be an object"),
        (
            {"goal": SECRET, "steps": [{"at": SECRET, "cost": SECRET}]},
            Plan,
            "Plan: value.steps[0].at: it is refused (datetime_from_date_parsing), and 1 more",
        ),
        ({"goal": 1, "steps": SECRET}, Plan, "Plan: value.goal should be a valid string, and 1 more"),
        ({"city": "Bath", "days": SECRET}, Visit, "Visit: value.days should be a valid integer, unable to parse"),
        ([1, [SECRET]], list[int | bool], "list[int | bool]: value[1] should be a valid integer, and 1 more"),
        ({"a b": SECRET}, dict[str, int], 'dict[str, int]: value["a b"] should be a valid integer'),
        ({"kind": SECRET}, Pet, "value: it is refused (union_tag_invalid)"),
        ({"kind": "cat"}, Pet, "value.lives is missing"),
        (SECRET, uuid.UUID, "UUID: value: it is refused (uuid_parsing)"),
        ({"name": SECRET}, Checked, "Checked: value.name: a validator refuses it"),
        ({"name": "assertion"}, Checked, "Checked: value.name: a validator refuses it"),
        ({"name": "custom"}, Checked, "Checked: value.name: a validator refuses it"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_key_and_path_and_not_quoted(data_store, value, form, said):
    data_store.set("k", value)
    for call in (
        lambda: data_store.get("k", type=form),
        lambda: data_store.get_many(["k"], type=form),
        lambda: data_store.get_all(type=form),
        lambda: data_store.find(type=form),
    ):
        with pytest.raises(InvalidValueError) as refused:
            call()
        assert str(refused.value).startswith("reading 'k' of namespace 'default' on memory: the value does not fit")
        assert said in str(refused.value)
        assert SECRET not in "".join(traceback.format_exception(refused.value))
        assert "pydantic" not in type(refused.value.__context__).__module__, "it would be shown, too"
    assert accesses(data_store) == {"k": 0}, "nothing was handed out"


def test_what_a_validator_raises_that_is_no_refusal_passes(data_store):
    data_store.set("k", {"name": "fault"})
    with pytest.raises(LookupError):
        data_store.get("k", type=Checked)


@pytest.mark.parametrize("label", [label for label in NASTY if label != "None"])
def test_what_is_no_type_is_refused_before_any_request(label):
    with datastore.DataStore(Untouchable(MemoryBackend())) as store:
        data_store = store.agent("ann", "planner")
        for call in (
            lambda: data_store.get("k", type=NASTY[label]()),
            lambda: data_store.get_many(["k"], type=NASTY[label]()),
            lambda: data_store.get_all(type=NASTY[label]()),
            lambda: data_store.find(type=NASTY[label]()),
        ):
            with pytest.raises(InvalidValueError, match="type is "):
                call()


@pytest.mark.parametrize("form", ["print", print, len, "".join, functools.partial(print), lambda value: value])
def test_a_name_and_a_function_are_no_type(data_store, form):
    """Pydantic would look the one up, and call the other with the value."""
    with pytest.raises(InvalidValueError, match=r"type is .*; give a Pydantic model"):
        data_store.get("k", type=form)


def test_the_validator_of_a_type_is_made_once(data_store):
    data_store.set("visit", {"city": "Bath", "days": 2})
    before = _kept_adapter.cache_info().misses
    for _ in range(3):
        data_store.get("visit", type=dict[str, str | int | None])
    assert _kept_adapter.cache_info().misses == before + 1


def test_pydantic_is_imported_with_the_first_type():
    code = (
        "import sys, datastore\n"
        "with datastore.connect('memory://') as store:\n"
        "    data_store = store.agent('ann', 'planner')\n"
        "    data_store.set('n', 1)\n"
        "    data_store.get('n'); data_store.get_all(); data_store.get_many(['n']); data_store.find()\n"
        "    before = 'pydantic' in sys.modules\n"
        "    data_store.get('n', type=int)\n"
        "    print(before, 'pydantic' in sys.modules)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "False True\n"
