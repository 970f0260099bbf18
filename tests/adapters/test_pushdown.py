"""Push-down to a database that decides some conditions exactly, some inexactly and some not at all loses no document.

The database here is invented. Its expressions are what they find: the numbers of its documents.
"""

import random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore.adapters.pushdown import UNSUPPORTED, Dialect, Translation, exact, inexact, push
from datastore.backend import Query
from datastore.conformance import query_strategies as make
from datastore.queries.language import parse, parse_query
from datastore.queries.matcher import compile_filter
from datastore.queries.tree import And, Compare, Exists, Field, In, Not, Or, clauses

EXAMPLES = settings(max_examples=200, deadline=None)


class Found(NamedTuple):
    """What an expression says: the documents of which it is true, and those of which it is perhaps true."""

    true: frozenset[int]
    perhaps: frozenset[int] = frozenset()

    @property
    def all(self):
        return self.true | self.perhaps


class MadeUp(Dialect[Found]):
    """Decides each condition on each field by lot, and the same one always in the same way."""

    nothing = Found(frozenset())

    def __init__(self, documents, seed, negates=True):
        self.documents = documents
        self.everything = frozenset(range(len(documents)))
        self.negates = negates
        self._seed = seed

    def lot(self, *what):
        return random.Random(f"{self._seed}{what}")

    def matching(self, path, condition, holds=True):
        matches = compile_filter(Field(path, condition))
        return frozenset(number for number in self.everything if matches(self.documents[number]) is holds)

    def condition(self, about, path, condition):
        lot = self.lot(about, path, condition)
        kind = lot.choice(["exact", "inexact", "unsupported"])
        found = self.matching(path, condition)
        if kind == "exact":
            return exact(Found(found))
        more = frozenset(number for number in self.everything if lot.random() < 0.3)
        return inexact(Found(found | more)) if kind == "inexact" else UNSUPPORTED

    def all_of(self, parts):
        return Found(frozenset.intersection(*(part.true for part in parts)))

    def any_of(self, parts):
        return Found(frozenset.union(*(part.true for part in parts)))

    def negate(self, part):
        return Found(self.everything - part.true) if self.negates else None


class FindsOpposites(MadeUp):
    """Finds a superset also of what must not hold."""

    def opposite(self, about, path, condition):
        if self.condition(about, path, condition).exact:
            return super().opposite(about, path, condition)
        lot = self.lot("not", about, path, condition)
        more = frozenset(number for number in self.everything if lot.random() < 0.3)
        return inexact(Found(self.matching(path, condition, False) | more))


class ThreeValued(MadeUp):
    """Says perhaps of the documents that it cannot decide about."""

    three_valued = True

    def condition(self, about, path, condition):
        lot, found = self.lot(about, path, condition), self.matching(path, condition)
        kind = lot.choice(["exact", "inexact", "unsupported"])
        if kind == "unsupported":
            return UNSUPPORTED
        share = 0.4 if kind == "inexact" else 0.0
        perhaps = frozenset(number for number in self.everything if lot.random() < share)
        return Translation(Found(found - perhaps, perhaps), kind == "exact")

    def all_of(self, parts):
        true = frozenset.intersection(*(part.true for part in parts))
        return Found(true, frozenset.intersection(*(part.all for part in parts)) - true)

    def any_of(self, parts):
        true = frozenset.union(*(part.true for part in parts))
        return Found(true, frozenset.union(*(part.all for part in parts)) - true)

    def negate(self, part):
        return Found(self.everything - part.all, part.perhaps)


class Cramped(FindsOpposites):
    """Takes two parts at a time, and two alternatives."""

    def all_of(self, parts):
        return super().all_of(parts) if len(parts) <= 2 else None

    def any_of(self, parts):
        return super().any_of(parts) if len(parts) <= 2 else None

    def weight(self, part):
        return len(part.true)


class Leaky(FindsOpposites):
    """Finds one document more for a part that finds that one, whatever else is in a request."""

    def widens(self, part):
        return 0 in part.true


class Blind(FindsOpposites):
    """Finds what lies hidden from it, whatever is asked about values."""

    decides = frozenset({"meta"})


DIALECTS = [MadeUp, FindsOpposites, ThreeValued, Cramped, Leaky, Blind]


def answer(dialect, pieces):
    """The documents that the database returns for what it was asked."""
    found = dialect.everything.intersection(*(piece.expression.all for piece in pieces))
    if any(dialect.widens(piece.expression) for piece in pieces):
        found |= {0}
    if isinstance(dialect, Blind) and all(piece.about == "value" for piece in pieces):
        found |= {0}
    return found


def ask(dialect, query):
    """What the database finds for a query, and what was composed."""
    made = push(query, dialect, tuple)
    if made is None:
        return dialect.everything, None
    return answer(dialect, made.request), made


def holds(query, document):
    """Whether a document matches; here both filters are about its value."""
    return compile_filter(query.value)(document) and compile_filter(query.meta)(document)


@pytest.mark.parametrize("dialect", DIALECTS)
@EXAMPLES
@given(st.lists(make.documents, min_size=1, max_size=8), make.filters, make.filters, st.integers(0, 1_000))
def test_no_document_that_matches_is_lost_and_the_residual_removes_all_others(dialect, documents, filter, meta, seed):
    database = dialect(documents, seed)
    query = Query(parse(filter), parse(meta))
    wanted = {number for number, document in enumerate(documents) if holds(query, document)}
    found, made = ask(database, query)
    assert wanted <= found
    if made is not None:
        assert {number for number in found if holds(made.residual, documents[number])} == wanted
        both = [holds(made.pushed, document) and holds(made.residual, document) for document in documents]
        assert both == [number in wanted for number in range(len(documents))], "they are the query together"


class AllExact(MadeUp):
    def condition(self, about, path, condition):
        return exact(Found(self.matching(path, condition)))


@EXAMPLES
@given(st.lists(make.documents, min_size=1, max_size=8), make.filters)
def test_a_database_that_decides_everything_leaves_nothing_to_check(documents, filter):
    matches = compile_filter(parse(filter))
    found, made = ask(AllExact(documents, 0), Query(parse(filter)))
    assert not made.residual
    assert found == {number for number, document in enumerate(documents) if matches(document)}


class Texts(Dialect[str]):
    """Writes expressions as text: fields named x are decided, n are nearly, all others are unsupported."""

    nothing = "NOTHING"

    def condition(self, about, path, condition):
        value = condition.values[0] if isinstance(condition, In) else type(condition).__name__
        if path[0][0] == "x":
            return exact(f"{path[0]}={value}")
        return inexact(f"{path[0]}~{value}") if path[0][0] == "n" else UNSUPPORTED

    def all_of(self, parts):
        return f"({' AND '.join(parts)})"

    def any_of(self, parts):
        return f"({' OR '.join(parts)})"

    def negate(self, part):
        return f"NOT {part}"


def asked(filter=None, meta=None, dialect=None):
    """What is asked for a query, and its pushed and its residual clauses as filters are written."""
    made = push(parse_query(filter, meta), dialect or Texts(), lambda pieces: [piece.expression for piece in pieces])
    return None if made is None else (made.request, made.pushed, made.residual)


@pytest.mark.parametrize(
    ("filter", "request_", "residual"),
    [
        ({"x": 1}, ["x=1"], {}),
        ({"n": 1}, ["n~1"], {"n": 1}),
        ({"x": 1, "n": 1, "u": 1}, ["x=1", "n~1"], {"n": 1, "u": 1}),
        ({"$and": [{"x": 1}, {"$and": [{"u": 1}, {"x2": 2}]}]}, ["x=1", "x2=2"], {"u": 1}),
        ({"$or": [{"x": 1}, {"x2": 2}]}, ["(x=1 OR x2=2)"], {}),
        ({"$or": [{"x": 1}, {"n": 2}]}, ["(x=1 OR n~2)"], {"$or": [{"x": 1}, {"n": 2}]}),
        (
            {"$or": [{"x": 1, "u": 1}, {"x2": 2, "x3": 3}]},
            ["(x=1 OR (x2=2 AND x3=3))"],
            {"$or": [{"x": 1, "u": 1}, {"x2": 2, "x3": 3}]},
        ),
        ({"x": {"$ne": 1}}, ["NOT x=1"], {}),
        ({"$nor": [{"x": 1}, {"x2": 2}]}, ["NOT x=1", "NOT x2=2"], {}),
        ({"$nor": [{"x": 1}, {"n": 2}]}, ["NOT x=1"], {"n": {"$ne": 2}}),
        ({"$nor": [{"$or": [{"x": 1}, {"u": 1}]}]}, ["NOT x=1"], {"u": {"$ne": 1}}),
        ({"$nor": [{"x": 1, "x2": 2}]}, ["(NOT x=1 OR NOT x2=2)"], {}),
        ({"$nor": [{"$nor": [{"x": 1, "n": 2}]}]}, ["x=1", "n~2"], {"n": 2}),
        ({"$nor": [{"x": {"$ne": 1}}]}, ["x=1"], {}),
        ({"x": 1, "$nor": [{"u": {"$ne": 1}}]}, ["x=1"], {"u": 1}),
        ({"x": {"$gte": None}}, ["x=None"], {}),
        ({"x": 1, "n": 1, "u": {"$gt": None}}, ["NOTHING"], {}),
        ({"$or": [{"x": 1}, {"u": {"$in": []}}]}, ["x=1"], {}),
        ({"$and": [{"$or": [{"n": 1, "u": {"$in": []}}, {"x": 1}]}]}, ["x=1"], {}),
        ({"x": 1, "u": {"$nin": []}}, ["x=1"], {}),
        ({"x": 1, "$or": [{"u": 1}, {"u": {"$nin": []}}]}, ["x=1"], {}),
    ],
    ids=str,
)
def test_what_is_asked_and_what_is_left(filter, request_, residual):
    found, _, checked = asked(filter)
    assert found == request_
    assert sorted(map(str, clauses(checked.value))) == sorted(map(str, clauses(parse(residual))))


@pytest.mark.parametrize(
    "filter",
    [
        {"u": 1},
        {"u": {"$ne": 1}},
        {"n": {"$ne": 1}},
        {"$or": [{"x": 1}, {"u": 1}]},
        {"$nor": [{"n": 1}]},
        {"$nor": [{"x": 1, "n": 1}]},
        {"u": 1, "x": {"$nin": []}},
    ],
    ids=str,
)
def test_what_narrows_nothing_is_not_asked(filter):
    assert asked(filter) is None


@pytest.mark.parametrize("filter", [{"u": {"$nin": []}}, {"$or": [{"x": 1}, {"x": {"$nin": []}}]}], ids=str)
def test_of_what_every_document_matches_nothing_is_asked_and_nothing_checked(filter):
    request, pushed, residual = asked(filter)
    assert request == []
    assert not pushed
    assert not residual
    assert push(parse_query(filter), Texts(), lambda pieces: pieces or None) is None, "it may decline"


def test_the_two_filters_of_a_query_stay_apart():
    request, pushed, residual = asked({"x": 1, "u": 1}, {"key": "k", "metadata.a": 1})
    assert request == ["x=1"]
    assert (pushed.value, pushed.meta) == (parse({"x": 1}), parse({}))
    assert (residual.value, residual.meta) == (parse({"u": 1}), parse({"key": "k", "metadata.a": 1}))


def test_a_dialect_says_which_filter_comes_first():
    class MetaFirst(Texts):
        order = ("meta", "value")

        def condition(self, about, path, condition):
            return exact(f"{about}.{path[0]}")

    assert asked({"a": 1}, {"key": "k"}, MetaFirst())[0] == ["meta.key", "value.a"]


@pytest.mark.parametrize("missing", ["condition", "all_of", "any_of"])
def test_a_dialect_without_a_method_that_it_needs_cannot_be_made(missing):
    methods = {name: None for name in ("condition", "all_of", "any_of") if name != missing}
    with pytest.raises(TypeError, match=f"abstract method '?{missing}"):
        type("Incomplete", (Dialect,), methods)()


def test_a_clause_that_is_whole_is_shown_as_it_was_written():
    query = parse_query({"$nor": [{"x": 1}, {"x2": 2}], "n": 1})
    made = push(query, Texts(), tuple)
    assert made.pushed == query
    assert [type(piece.filter) for piece in made.pieces] == [Not, Not, Field]


def test_of_a_clause_in_parts_each_is_shown_where_it_belongs():
    query = parse_query({"$nor": [{"x": 1}, {"u": 2}]})
    made = push(query, Texts(), tuple)
    assert made.pushed.value == parse({"x": {"$ne": 1}})
    assert made.residual.value == parse({"u": {"$ne": 2}})


def test_the_same_clause_about_the_value_and_about_the_record_is_checked_on_both():
    clause, split = parse({"u": 1}), parse({"$nor": [{"x": 1}, {"u": 2}]})
    made = push(Query(And((clause, split)), clause), Texts(), tuple)
    assert made.residual == Query(parse({"u": 1, "$nor": [{"u": 2}]}), clause)


class Limited(Texts):
    """Takes expressions of so many characters."""

    def __init__(self, most):
        self.most = most

    def all_of(self, parts):
        return self._if_it_fits(super().all_of(parts))

    def any_of(self, parts):
        return self._if_it_fits(super().any_of(parts))

    def weight(self, part):
        return len(part)

    def _if_it_fits(self, text):
        return text if len(text) <= self.most else None

    def ask(self, pieces):
        return self._if_it_fits(" ".join(piece.expression for piece in pieces))


def test_where_not_all_fits_the_lightest_are_pushed_and_the_others_are_left():
    dialect = Limited(10)
    made = push(parse_query({"x": "1234567", "x2": 22, "x3": 3}), dialect, dialect.ask)
    assert made.request == "x3=3 x2=22"
    assert made.pushed.value == parse({"x2": 22, "x3": 3})
    assert made.residual.value == parse({"x": "1234567"})


def test_a_query_of_which_nothing_fits_is_not_pushed():
    dialect = Limited(2)
    assert push(parse_query({"x": 1}), dialect, dialect.ask) is None


def test_of_an_and_within_an_or_what_does_not_fit_is_left_out_and_it_is_no_longer_exact():
    query = parse_query({"$or": [{"x": "1234567", "x2": 2, "x3": 3}, {"x4": 4}]})
    (piece,) = push(query, Limited(27), tuple).pieces
    assert piece.expression == "((x2=2 AND x3=3) OR x4=4)"
    assert not piece.exact


def test_of_an_or_all_must_fit():
    assert push(parse_query({"$or": [{"x": 1}, {"x2": 2}, {"x3": 3}]}), Limited(15), tuple) is None


def test_a_full_request_is_not_tried_for_ever():
    tried = []

    def request(pieces):
        tried.append(len(pieces))

    assert push(parse_query({f"x{number}": number for number in range(1_000)}), Texts(), request) is None
    assert len(tried) == 21


def test_what_is_nested_too_deep_is_unsupported():
    class Flat(Texts):
        deepest = 2

    deep = {"$or": [{"x": 1}, {"x2": 1, "$or": [{"x3": 1}, {"x4": 1}]}]}
    assert asked(deep, None, Flat()) == asked({"$or": [{"x": 1}, {"x2": 1}]})[:1] + asked(deep)[1:2] + (
        parse_query(deep),
    )


def test_exact_clauses_are_checked_again_where_others_find_more_whatever_stands_beside_them():
    class LeakyTexts(Texts):
        def widens(self, part):
            return part == "n~1"

    assert asked({"x": 1, "n": 1}, None, LeakyTexts())[2] == parse_query({"x": 1, "n": 1})
    assert asked({"x": 1, "n": 2, "u": 1}, None, LeakyTexts())[2] == parse_query({"n": 2, "u": 1})


def test_a_filter_that_the_database_does_not_see_all_of_is_checked_again():
    class BlindTexts(Texts):
        decides = frozenset()

    assert asked({"x": 1}, None, BlindTexts()) == (["x=1"], parse_query({"x": 1}), parse_query({"x": 1}))
    assert asked({"x": {"$in": []}}, None, BlindTexts())[2] == parse_query({"x": {"$in": []}})
    nothing_seen = parse_query({"x": {"$in": []}, "n": 1})
    assert push(nothing_seen, BlindTexts(), tuple).residual == nothing_seen, "what it does not see may match"


def test_an_adapter_is_asked_about_equality_in_one_form():
    seen = []

    class Listening(Texts):
        def condition(self, about, path, condition):
            seen.append(condition)
            return exact("x")

    asked(
        {"a": 1, "b": {"$in": [1, 2]}, "c": {"$lte": None}, "d": {"$gt": 1}, "e": {"$exists": True}}, None, Listening()
    )
    assert seen == [In((1,)), In((1, 2)), In((None,)), Compare("$gt", 1), Exists()]


def test_each_condition_is_asked_for_once():
    seen = []

    class Listening(Texts):
        def condition(self, about, path, condition):
            seen.append(path[0])
            return super().condition(about, path, condition)

    filter = {"$nor": [{"x": 1}, {"u": 2}], "$or": [{"x3": 1, "n": {"$ne": 2}}, {"x4": 1}]}
    asked(filter, None, Listening())
    assert sorted(seen) == ["n", "u", "x", "x3", "x4"]


def test_three_values_let_the_opposite_of_what_is_inexact_be_asked():
    class Perhaps(Texts):
        three_valued = True

    request, _, residual = asked({"n": {"$ne": 1}}, None, Perhaps())
    assert request == ["NOT n~1"]
    assert residual == parse_query({"n": {"$ne": 1}})
    assert asked({"$nor": [{"x": 1, "u": 1}]}, None, Perhaps()) is None


def test_a_language_without_not_still_takes_two_of_them():
    class Positive(Texts):
        def negate(self, part):
            return None

    assert asked({"x": {"$ne": 1}}, None, Positive()) is None
    assert asked({"$nor": [{"$nor": [{"x": 1}]}]}, None, Positive())[0] == ["x=1"]


def test_an_inexact_expression_that_finds_nothing_is_exact():
    class Empty(Texts):
        def condition(self, about, path, condition):
            return inexact(self.nothing) if path == ("n",) else super().condition(about, path, condition)

    assert not asked({"n": 1}, None, Empty())[2]
    assert not asked({"$or": [{"n": 1}, {"x": 1}]}, None, Empty())[2]


def test_the_alternatives_of_a_filter_without_any_are_nothing():
    assert push(Query(Or(())), Texts(), tuple).pieces[0].expression == "NOTHING"
