"""The kit's plugin: what it reports, and which runs it fails. Shown on a kit of two topics, to be quick."""

from __future__ import annotations

import subprocess
import sys

import pytest

from datastore import AgentDataStore, Record  # noqa: F401 - imported here once, not again by each run inside the tests
from datastore.conformance import plugin, suite
from datastore.conformance.topic import Topic
from datastore.conformance.topics.processes import Processes
from datastore.conformance.topics.writes import Writes

TEST_FILE = """
import pytest
from datastore.conformance.topics.processes import Processes
from datastore.conformance.topics.writes import Writes
from tests.third_party.shelf import ShelfHarness

class TestShelf(Writes, Processes):
    harness = ShelfHarness
"""
WITHOUT_A_TEST = TEST_FILE + "    test_what_is_set_can_be_got = None\n"
WITH_ANOTHER_TEST = TEST_FILE + "    def test_what_is_set_can_be_got(self):\n        pass\n"
WITH_SKIPS = TEST_FILE + "    @pytest.fixture\n    def data_store(self):\n        pytest.skip('later')\n"
WITH_A_FAILURE = TEST_FILE + "    @pytest.fixture\n    def data_store(self):\n        assert False\n"
EXPECTED_TO_FAIL = WITH_A_FAILURE + "\npytestmark = pytest.mark.xfail\n"
LEAVES_OUT_A_TOPIC = TEST_FILE.replace("harness = ShelfHarness", "harness = HarnessUnderTest").replace(
    "class TestShelf",
    "class HarnessUnderTest(ShelfHarness):\n    left_out = {'processes': 'the cupboard is asked'}\n\nclass TestShelf",
)
CASES_OF_WRITES = 17
"""What the topic comes to, with the parameters of its tests."""
INI = """
[pytest]
testpaths = conformance
conformance_backends = {declared}
"""


@pytest.fixture(autouse=True)
def small_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = {name: test for name, test in suite.kit_tests().items() if test[0] in ("writes", "processes")}
    monkeypatch.setattr(plugin, "kit_tests", lambda: tests)


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run pytest on a test file, with some backends declared, and return the result."""

    def run(test_file: str, *arguments: str, declared: str = "shelf") -> pytest.RunResult:
        pytester.makeini(INI.format(declared=declared))
        pytester.mkpydir("conformance").joinpath("test_shelf.py").write_text(test_file)
        pytester.mkpydir("other").joinpath("test_other.py").write_text("def test_other():\n    pass\n")
        plugins = ("datastore.conformance.plugin", "no:cacheprovider", "no:hypothesispytest")
        return pytester.runpytest_inprocess(*(f"-p{name}" for name in plugins), *arguments)

    return run


def test_the_report_counts_by_topic_and_names_the_level(run):
    result = run(TEST_FILE)
    result.stdout.fnmatch_lines([
        "*= conformance =*",
        "topic * shelf",
        f"writes * {CASES_OF_WRITES} passed",
        "processes * 8 not applicable",
        f"all * {CASES_OF_WRITES} passed, 8 not applicable",
        "level * core",
    ])  # fmt: skip
    assert result.ret == 0


def test_the_level_is_full_if_everything_applies(run, monkeypatch):
    tests = {name: test for name, test in suite.kit_tests().items() if test[0] == "writes"}
    monkeypatch.setattr(plugin, "kit_tests", lambda: tests)
    result = run(TEST_FILE)
    result.stdout.fnmatch_lines(["level * full"])
    assert result.ret == 0


def test_the_level_is_failed_if_anything_fails(run):
    result = run(WITH_A_FAILURE)
    result.stdout.fnmatch_lines([f"writes * {CASES_OF_WRITES} failed", "level * failed"])
    assert result.ret == 1


def test_the_level_is_partial_if_only_a_part_ran(run):
    result = run(TEST_FILE, "-k", "delete")
    result.stdout.fnmatch_lines(["processes * -", "level * partial"])
    assert result.ret == 0


def test_what_one_missing_ability_makes_inapplicable_is_one_line(run):
    run(TEST_FILE, "-rs").stdout.fnmatch_lines(["SKIPPED [[]8[]] *: not applicable: shared is not declared"])


def test_a_suite_without_a_harness_says_so(run):
    result = run(TEST_FILE.replace("harness = ShelfHarness", "pass"))
    result.stdout.fnmatch_lines(["*TestShelf needs a harness: harness = MyHarness"])
    assert result.ret == 1


def test_a_topic_can_be_selected_by_its_name(run):
    result = run(TEST_FILE, "-k", "processes")
    result.assert_outcomes(skipped=8, deselected=CASES_OF_WRITES)


def test_a_topic_that_is_left_out_is_named_with_the_number_of_its_tests(run):
    """The others are all that is expected of the backend."""
    result = run(LEAVES_OUT_A_TOPIC)
    result.stdout.fnmatch_lines([
        f"writes * {CASES_OF_WRITES} passed",
        "processes * left out",
        f"all * {CASES_OF_WRITES} passed",
        "level * partial",
        "shelf: 8 tests of processes are left out: the cupboard is asked",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("CONFORMANCE NOT PROVEN*")
    assert result.ret == 0


def test_it_is_named_also_if_nothing_else_was_asked_for(run):
    result = run(LEAVES_OUT_A_TOPIC, "-k", "processes")
    result.stdout.fnmatch_lines(["shelf: 8 tests of processes are left out: the cupboard is asked"])
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_what_was_not_asked_for_is_not_left_out(run):
    run(LEAVES_OUT_A_TOPIC, "-k", "test_exists_and_in_agree").stdout.no_fnmatch_line("*left out*")


def test_a_backend_that_leaves_out_a_topic_owes_the_others(run):
    result = run(LEAVES_OUT_A_TOPIC + "    test_what_is_set_can_be_got = None\n")
    number = len([topic for topic, _ in plugin.kit_tests().values() if topic == "writes"])
    result.stdout.fnmatch_lines([
        f"CONFORMANCE NOT PROVEN: shelf ran {number - 1} of the {number} tests of its topics; "
        "missing: test_what_is_set_can_be_got",
    ])  # fmt: skip
    assert result.ret == 1


def test_a_backend_that_leaves_out_everything_is_not_proven(run):
    result = run(LEAVES_OUT_A_TOPIC.replace("left_out = {", "left_out = {'writes': 'the cupboard is asked', "))
    result.stdout.fnmatch_lines(["CONFORMANCE NOT PROVEN: shelf * not one test of the kit ran on it"])
    assert result.ret == 1


def test_a_declared_backend_that_did_not_run_fails_the_run(run):
    result = run(TEST_FILE, declared="shelf cupboard")
    result.stdout.fnmatch_lines(["CONFORMANCE NOT PROVEN: cupboard * not one test of the kit ran on it"])
    assert result.ret == 1


def test_so_it_does_if_no_test_ran_at_all(run):
    result = run("")
    result.stdout.fnmatch_lines(["CONFORMANCE NOT PROVEN: shelf *"])
    assert result.ret == 1


@pytest.mark.parametrize("test_file", [WITHOUT_A_TEST, WITH_ANOTHER_TEST], ids=["taken-out", "replaced"])
def test_a_declared_backend_that_leaves_out_a_test_fails_the_run(run, test_file):
    result = run(test_file)
    number = len(plugin.kit_tests())
    result.stdout.fnmatch_lines([
        "level * partial",
        f"CONFORMANCE NOT PROVEN: shelf ran {number - 1} of the kit's {number} tests; "
        "missing: test_what_is_set_can_be_got",
    ])  # fmt: skip
    assert result.ret == 1


@pytest.mark.parametrize("test_file", [WITH_SKIPS, EXPECTED_TO_FAIL], ids=["skipped", "expected-to-fail"])
def test_what_is_skipped_or_expected_to_fail_is_not_proven(run, test_file):
    result = run(test_file)
    result.stdout.fnmatch_lines(["CONFORMANCE NOT PROVEN: shelf ran *missing: * and * more"])
    assert result.ret == 1


def test_backends_that_are_not_declared_owe_nothing(run):
    assert run(WITHOUT_A_TEST, declared="").ret == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "test_exists_and_in_agree"],
        ["-m", "not slow"],
        ["conformance/test_shelf.py"],
        ["conformance/test_shelf.py::TestShelf::test_create_makes_a_key_of_its_own"],
        ["other"],
        ["--deselect", "conformance/test_shelf.py::TestShelf::test_exists_and_in_agree"],
        ["--ignore", "conformance/test_shelf.py", "other"],
        ["--collect-only"],
        ["--last-failed", "-p", "cacheprovider"],
    ],
    ids=" ".join,
)
def test_who_runs_a_part_of_the_tests_is_not_bothered(run, arguments):
    result = run(WITHOUT_A_TEST, *arguments, declared="shelf cupboard")
    result.stdout.no_fnmatch_line("CONFORMANCE NOT PROVEN*")
    assert result.ret == 0


@pytest.mark.parametrize("arguments", [[], ["conformance"], ["."], ["other", "conformance"], ["-v"]], ids=" ".join)
def test_a_run_of_all_testpaths_is_complete(run, arguments):
    result = run(WITHOUT_A_TEST, *arguments)
    result.stdout.fnmatch_lines(["CONFORMANCE NOT PROVEN: shelf *"])
    assert result.ret == 1


def test_a_run_without_the_kit_has_no_report(run):
    run(TEST_FILE, "other").stdout.no_fnmatch_line("*conformance =*")


def test_a_name_in_two_topics_is_refused(monkeypatch):
    other = type("Other", (Topic,), {"test_exists_and_in_agree": lambda self: None, "__module__": "topics.other"})
    monkeypatch.setattr(suite, "TOPICS", (Writes, Processes, other))
    with pytest.raises(TypeError, match="test_exists_and_in_agree is in the topics writes and other"):
        suite.kit_tests.__wrapped__()


def test_importing_the_package_imports_neither_the_kit_nor_pytest():
    code = "import datastore, sys; print([name for name in sys.modules if 'conformance' in name or 'pytest' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
