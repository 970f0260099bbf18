"""Each call has one place in the code, and is listed wherever calls are listed."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import datastore
import datastore.calls
from datastore import AgentDataStore
from datastore.conformance.calls import CALLS
from tests.typing import program

ROOT = Path(__file__).parents[2]
PUBLIC = sorted(name for name in dir(AgentDataStore) if not name.startswith("_"))
FAMILIES = [kind for kind in AgentDataStore.__mro__ if kind.__module__.startswith("datastore.calls.")]
BINDING = {
    *("agent", "asynchronous", "namespace", "use_namespace", "user_id"),
    *("blobs", "key_value", "log", "memory", "runs", "vault", "vector_vault"),
}
"""What is in `datastore.agent` itself: the binding, and the other interfaces; none of them asks the database."""
HIGHER = {"purge_expired"}
"""A call that stands above the families: it asks what stands on them."""
LATE = {"lending", "ordering", "paging", "planning", "steps", "streams"}
"""The modules beside the families."""
ARGUMENTS = {
    "records": {"key", "value"},
    "changes": {"key"},
    "batches": {"items", "keys"},
    "listings": {"prefix", "type", None},
    "queries": {"filter"},
    "claims": {"filter", "key"},
    "leases": {"name"},
    "namespaces": {"prefix", "namespace_prefix", None},
    "logs": {"name", "prefix"},
}
"""What the calls of a family are given first."""


def test_the_families_are_the_modules_of_the_package():
    modules = {module.name for module in pkgutil.iter_modules(datastore.calls.__path__)}
    assert {kind.__module__.rpartition(".")[2] for kind in FAMILIES} == modules - LATE == ARGUMENTS.keys()


def test_every_call_is_in_one_family_and_the_rest_is_the_binding():
    places = [(name, kind) for kind in FAMILIES for name in vars(kind) if not name.startswith("_")]
    assert sorted(name for name, _ in places) == sorted(set(PUBLIC) - BINDING - HIGHER)
    assert {name for name in vars(AgentDataStore) if not name.startswith("_")} == BINDING | HIGHER


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.__name__)
def test_what_a_call_is_given_says_which_family_it_belongs_to(kind):
    allowed = ARGUMENTS[kind.__module__.rpartition(".")[2]]
    for name, call in vars(kind).items():
        if not name.startswith("_"):
            first = [*list(inspect.signature(call).parameters)[1:], None][0]
            assert first in allowed, f"{name} is given {first}"


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.__name__)
def test_a_family_adds_no_attribute_to_the_object_of_an_agent(kind):
    assert vars(kind)["__slots__"] == ()
    assert "__init__" not in vars(kind)


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - BINDING))
def test_the_docstring_of_a_call_says_what_it_costs_and_what_its_parameters_are(name):
    call = getattr(AgentDataStore, name)
    assert re.search(r"^Requests: ", inspect.getdoc(call), re.MULTILINE)
    arguments = re.search(r"^Args:\n((?: +.*\n|\n)+?)^\S", f"{inspect.getdoc(call)}\n.", re.MULTILINE)
    named = re.findall(r"^    \*{0,2}(\w+): ", arguments[1], re.MULTILINE) if arguments else []
    parameters = list(inspect.signature(call).parameters)[1:]
    assert named in (parameters, []), "a docstring with Args has all of them, in their order"
    assert named or len(parameters) <= 2, "parameters that need words"


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - BINDING))
def test_the_kit_knows_every_call(name):
    assert name in CALLS, "datastore/conformance/calls.py does not know it"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_call_is_in_the_reference(name):
    reference = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert re.search(rf"^### `{name}\b", reference, re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_call_is_in_the_program_that_the_type_checkers_read(name):
    tree = ast.parse(Path(program.__file__).read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "data_store"
    }
    assert name in used, "tests/typing/program.py does not show its types"


def test_the_program_that_the_type_checkers_read_runs():
    program.host()


@pytest.mark.parametrize("name", dir(datastore))
def test_a_public_name_is_there_and_is_one_of_all(name):
    assert getattr(datastore, name) is not None
    assert name in datastore.__all__


def test_what_the_package_shows_is_what_is_public():
    assert dir(datastore) == sorted(datastore.__all__)
    errors = {
        name for name, kind in vars(datastore.errors).items() if name.endswith("Error") and isinstance(kind, type)
    }
    assert errors == {name for name in dir(datastore) if name.endswith("Error")}


def test_the_version_is_the_one_that_is_installed():
    written = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert datastore.__version__ == written[1]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'datastore' has no attribute 'conect'"):
        _ = datastore.conect
