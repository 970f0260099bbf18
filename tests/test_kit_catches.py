"""The kit is worth what it catches: a correct adapter passes all of it, and each broken one fails where it must."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy  # noqa: F401 - loaded before the runs of the kit, which take out what they import: it is loaded once per process
import pytest
from hypothesis import Phase, settings

from datastore import Record  # noqa: F401 - imported here once, not again by each run inside the tests
from datastore.conformance import ConformanceSuite, Harness, strategies
from datastore.conformance.suite import TOPICS, topic_name
from tests.full import EXAMPLES_ON_SERVERS, FULL, MANY_ON_SERVERS
from tests.third_party import broken, careless, forgetful, searching, shelf, unguarded

TEST_FILE = """
from {module} import {suite}
from tests.third_party import broken, searching, shelf

class HarnessUnderTest(shelf.ShelfHarness):
    backend = {backend}
    loses = {loses}
    examples = {examples}
    many = {many}

class TestShelf({suite}):
    harness = HarnessUnderTest
"""

UNDECLARED = {
    "shared is not declared",
    "content is not declared",
    "entries is not declared",
    "bare_values is not declared",
    "tenant_databases is not declared",
    "the backend does not have 'namespaces'",
    "the backend does not have 'count'",
    "the backend does not have 'clear'",
    "the backend does not have 'purge'",
    "the backend does not have 'all_documents'",
    "the backend does not have 'ensure_index'",
    "the backend does not have 'read_at_once'",
}
"""What the correct adapter does not claim to be able to do."""

SEARCHING = {
    *("claims", "items", "key_order", "namespaces", "outage", "queries", "query_properties", "tracking"),
    *("updates", "vault"),
}
"""The topics whose tests call an adapter's own search. The others do not reach what `Searches` adds to the shelf."""

AS_MANY = {"examples": EXAMPLES_ON_SERVERS, "many": MANY_ON_SERVERS}
"""What is generated for a correct adapter, and how many records its largest test has. A broken one meets all of it."""

FAULTS = [
    (broken.LosesTheCreator, "records", "test_a_change_keeps_who_created_the_record_and_when"),
    (broken.LosesTheCreator, "raw_writes", "test_a_put_over_a_live_document_keeps_its_creation_and_accesses"),
    (broken.CapsLists, "listings", "test_twelve_thousand_records_are_listed_and_cleared_completely"),
    (broken.JoinsWithAColon, "names", "test_a_joined_separator_cannot_be_forged"),
    (broken.JoinsWithAColon, "properties", "test_records_of_different_names_are_different_records"),
    (broken.CountsByRewriting, "concurrency", "test_a_set_stands_beside_a_flush"),
    (broken.CountsByRewriting, "concurrency", "test_a_delete_stands_beside_a_flush"),
    (broken.TakesAnOutageForMissing, "outage", "test_every_call_says_that_the_database_is_away"),
    (broken.MergesMetadataDeeply, "records", "test_metadata_is_merged_shallowly"),
    (broken.ReplacesMetadata, "records", "test_metadata_is_merged"),
    (broken.HandsOutItsOwnObjects, "values", "test_changing_what_was_set_changes_nothing_stored"),
    (broken.HandsOutItsOwnObjects, "values", "test_changing_what_was_read_changes_nothing_stored"),
    (broken.ChecksBeforeItWrites, "concurrency", "test_of_several_adds_one_succeeds"),
    (broken.ChecksBeforeItWrites, "concurrency", "test_of_several_sets_at_one_revision_one_succeeds"),
    (broken.ChecksBeforeItWrites, "concurrency", "test_no_increment_is_lost"),
    (broken.BringsBackTheDeleted, "tracking", "test_a_flush_brings_back_no_deleted_record"),
    (broken.BringsBackTheDeleted, "accesses", "test_a_document_that_is_gone_is_not_made_again"),
    (broken.KnowsTheLastWriteAlone, "raw_writes", "test_a_repeated_put_knows_itself_after_others_have_written"),
    (broken.KeepsTheExpired, "expiry", "test_writing_over_an_expired_record_begins_a_new_one"),
    (broken.ScansFromTheCursor, "scanning", "test_the_pages_hold_every_record_once"),
    (broken.ScansFromTheCursor, "raw_reads", "test_paged_scans_hold_everything_once"),
    (broken.ListsForwardAlways, "key_order", "test_keys_are_in_the_order_of_their_code_points"),
    (broken.ListsForwardAlways, "raw_reads", "test_a_scan_keeps_to_its_range"),
    (broken.ReversesPages, "key_order", "test_pages_hold_everything_once"),
    (broken.TurnsFloatsIntoIntegers, "values", "test_a_value_comes_back_type_for_type"),
    (broken.LosesPrototypes, "properties", "test_what_comes_back_equals_what_went_in"),
    (broken.ReportsAFailureAsDone, "records", "test_metadata_that_grows_too_large_fails_its_record_alone"),
    (broken.CountsForTheSuccessor, "tracking", "test_a_record_made_again_does_not_inherit_pending_accesses"),
    (broken.ForgetsCountsOnOverwrite, "records", "test_a_change_keeps_the_access_count"),
    (broken.CountsAreNewRevisions, "revisions", "test_an_access_makes_no_new_revision"),
    (broken.CountsExpiredAsDeleted, "expiry", "test_an_expired_record_is_hidden"),
    (broken.HoldsNoLargeValues, "values", "test_a_large_value_comes_back_whole"),
    (broken.LosesTheEndOfALargeBatch, "blobs", "test_what_comes_back_is_what_was_put"),
    (broken.HandsOverSomeOfMuch, "blobs", "test_what_comes_back_is_what_was_put"),
    (broken.ChecksBeforeItWrites, "memory", "test_what_several_add_at_once_is_found"),
    (broken.LeavesOutTheLast, "memory", "test_search_is_brute_force"),
    (broken.KeepsTheRevision, "memory", "test_a_record_counts_as_it_is_now"),
    (broken.KeepsTheRevision, "splitting", "test_an_edit_replaces_all_parts_at_once"),
    (broken.LeavesOutTheLast, "splitting", "test_search_is_brute_force_over_parts"),
    (broken.KeepsTheRevision, "keywords", "test_a_record_is_found_by_the_words_that_it_has_now"),
    (broken.LeavesOutTheLast, "keywords", "test_the_order_is_the_one_of_the_definitions"),
    (broken.KeepsTheRevision, "vector_vault", "test_what_is_published_runs_as_written"),
    (broken.LeavesOutTheLast, "vector_vault", "test_vectors_are_made_of_what_has_none"),
    (broken.ChecksBeforeItWrites, "vector_vault", "test_a_number_is_given_once"),
    (broken.IgnoresLeases, "leases", "test_the_database_refuses_lower_numbers"),
    (broken.IgnoresLeases, "leases", "test_a_late_holder_changes_nothing"),
    (broken.ForgetsLeases, "leases", "test_a_plain_write_keeps_what_a_record_remembers"),
    (broken.RemembersOneLease, "leases", "test_a_record_remembers_several_leases"),
    (broken.ComparesLeases, "leases", "test_other_leases_do_not_matter"),
    (broken.ForgetsDeleted, "leases", "test_a_deleted_record_remembers"),
    (
        broken.ChecksLeasesBeforeItWrites,
        "leases",
        "test_of_two_numbers_that_write_at_once_the_higher_one_stands",
    ),
    (searching.LimitsBeforeItFilters, "queries", "test_limits_come_after_filters"),
    (searching.CapsFinds, "queries", "test_many_records_are_searched_completely"),
    (searching.SearchesEverybody, "queries", "test_a_find_sees_its_namespace_alone"),
    (searching.FindsTheExpired, "queries", "test_expired_records_are_found_by_nothing"),
    (searching.LooksIntoNoArray, "queries", "test_a_filter_means_what_the_manual_says"),
    (searching.LooksIntoNoArray, "query_properties", "test_a_find_agrees_with_the_reference"),
    (searching.TakesTrueForOne, "queries", "test_a_filter_means_what_the_manual_says"),
    (searching.RoundsIntegers, "queries", "test_a_filter_means_what_the_manual_says"),
]


@pytest.fixture(autouse=True)
def no_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a fault is found is asked in here, and not for the smallest example of it, which takes many times longer."""
    monkeypatch.setattr(strategies, "EXAMPLES", settings(strategies.EXAMPLES, phases=[Phase.explicit, Phase.generate]))


@pytest.fixture
def run_kit(pytester: pytest.Pytester):
    """Run the kit on one of the shelf's adapters and return its reports."""

    def run_kit(
        backend: str,
        suite: type,
        *arguments: str,
        loses: Mapping[str, str] = MappingProxyType({}),
        examples: int = Harness.examples,
        many: int = Harness.many,
    ) -> pytest.HookRecorder:
        names = {"backend": backend, "suite": suite.__name__, "module": suite.__module__}
        names |= {"loses": str(dict(loses)), "examples": str(examples), "many": str(many)}
        pytester.makepyfile(TEST_FILE.format_map(names))
        plugins = ("datastore.conformance.plugin", "no:cacheprovider", "no:hypothesispytest")
        return pytester.inline_run(*(f"-p{name}" for name in plugins), "-q", "--no-summary", *arguments)

    return run_kit


def test_a_correct_adapter_passes(run_kit) -> None:
    """Everything that it declares; no process but its own can open it, and it has no optional ability."""
    passed, skipped = _without_a_failure(run_kit(_named(shelf.ShelfBackend), ConformanceSuite, **AS_MANY))
    assert skipped == UNDECLARED
    assert len(passed) > 600


def test_a_correct_adapter_that_searches_passes(run_kit) -> None:
    """It is the same adapter in all else: a full run asks it for everything once more, other runs for what searches."""
    narrowed = () if FULL else ("-k", " or ".join(sorted(SEARCHING)))
    passed, skipped = _without_a_failure(run_kit(_named(searching.Searches), ConformanceSuite, *narrowed, **AS_MANY))
    assert skipped <= UNDECLARED
    assert len(passed) > (600 if FULL else 250)


def _without_a_failure(run: pytest.HookRecorder) -> tuple[Sequence[pytest.TestReport], set[str]]:
    """Return the tests of a run that have passed, and the reasons why others did not apply."""
    passed, skipped, failed = run.listoutcomes()
    assert not failed, [(report.nodeid, report.longreprtext[-1500:]) for report in failed]
    assert run.ret == 0
    reasons = {report.longrepr[2] for report in skipped}
    return passed, {reason.removeprefix("Skipped: not applicable: ") for reason in reasons}


@pytest.mark.parametrize(
    ("backend", "topic", "test"), FAULTS, ids=[f"{backend.__name__}-{test}" for backend, _, test in FAULTS]
)
def test_a_fault_is_found(run_kit, backend: type, topic: str, test: str) -> None:
    """By the test that was made for it, in a run of its topic."""
    (suite,) = (suite for suite in TOPICS if topic_name(suite) == topic)
    run = run_kit(_named(backend), suite, "-k", test)
    _, _, failed = run.listoutcomes()
    assert any(f"::{test}" in report.nodeid for report in failed), f"{test} does not notice: {backend.__doc__}"


@pytest.mark.parametrize(
    ("topic", "fault", "test"),
    [
        pytest.param(topic, fault, test, id=f"{fault.__name__}-{test}")
        for topic, faults in (
            ("grants", unguarded.GRANTS),
            ("quotas", unguarded.QUOTAS),
            ("tokens", unguarded.TOKENS),
            ("blobs", careless.BLOBS),
            ("keywords", forgetful.KEYWORDS),
            ("splitting", forgetful.SPLITTING),
            ("vector_vault", forgetful.VECTOR_VAULTS),
        )
        for fault, test in faults
    ],
)
def test_a_fault_above_the_adapter_is_found(run_kit, monkeypatch, topic: str, fault, test: str) -> None:
    """In what is checked or made of several writes in front of it: here the adapter is correct, and that is not."""
    (suite,) = (suite for suite in TOPICS if topic_name(suite) == topic)
    fault(monkeypatch)
    run = run_kit(_named(shelf.ShelfBackend), suite, "-k", test)
    _, _, failed = run.listoutcomes()
    assert any(f"::{test}" in report.nodeid for report in failed), f"{test} does not notice: {fault.__doc__}"


def test_what_a_test_server_loses_is_asked_by_no_property_and_named_in_the_report(run_kit, capsys) -> None:
    (suite,) = (suite for suite in TOPICS if topic_name(suite) == "properties")
    run = run_kit(_named(broken.LosesPrototypes), suite, loses={"__proto__": "it is JavaScript"})
    assert [len(reports) for reports in run.listoutcomes()] == [3, 0, 0]
    assert "no generated value has a member '__proto__': it is JavaScript" in capsys.readouterr().out


def test_how_many_examples_a_property_has_is_up_to_the_harness_and_named_in_the_report(run_kit, capsys) -> None:
    (suite,) = (suite for suite in TOPICS if topic_name(suite) == "properties")
    test = "test_records_of_different_names_are_different_records"
    assert strategies.examples(type("Slow", (Harness,), {"examples": 3})).max_examples == 3
    run = run_kit(_named(shelf.ShelfBackend), suite, "-k", test, examples=3)
    assert [len(reports) for reports in run.listoutcomes()] == [1, 0, 0]
    assert "shelf: 3 generated examples of each property, not 60" in capsys.readouterr().out


def test_how_many_records_the_largest_test_has_is_up_to_the_harness_and_named_in_the_report(run_kit, capsys) -> None:
    (suite,) = (suite for suite in TOPICS if topic_name(suite) == "listings")
    test = "test_twelve_thousand_records_are_listed_and_cleared_completely"
    run = run_kit(_named(broken.CapsLists), suite, "-k", test, many=9_000)
    assert [len(reports) for reports in run.listoutcomes()] == [1, 0, 0], "it caps them at ten thousand"
    assert "shelf: the largest test has 9,000 records, not 12,000" in capsys.readouterr().out


def _named(backend: type) -> str:
    return f"{backend.__module__.rpartition('.')[2]}.{backend.__name__}"
