"""Judge one mutant, as Cosmic Ray's ``test-command``: first by the tests that are made for its module, then by others.

Ends with 0 if all of them passed, so that the mutant survives.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

SQLITE_QUERIES = [
    *("tests/sqlite/test_finding.py", "tests/sqlite/test_queries.py", "tests/sqlite/test_indexes.py"),
    "tests/sqlite",
]
FIRST = {
    "backends/datastore_sqlite/": ["tests/sqlite"],
    "backends/datastore_sqlite/finding.py": SQLITE_QUERIES,
    "backends/datastore_sqlite/indexes.py": SQLITE_QUERIES,
    "backends/datastore_sqlite/planning.py": SQLITE_QUERIES,
    "backends/datastore_sqlite/queries.py": SQLITE_QUERIES,
    "backends/datastore_sqlite/selecting.py": SQLITE_QUERIES,
    "datastore/access.py": ["tests/core/test_access.py"],
    "datastore/adapters/": ["tests/adapters/test_writing.py", "tests/adapters"],
    "datastore/adapters/batching.py": ["tests/adapters/test_batching.py"],
    "datastore/adapters/choosing.py": ["tests/adapters/test_choosing.py", "tests/adapters"],
    "datastore/adapters/counting.py": ["tests/adapters/test_counting.py", "tests/adapters"],
    "datastore/adapters/pushdown.py": ["tests/adapters/test_pushdown.py", "tests/adapters"],
    "datastore/adapters/remembering.py": ["tests/adapters/test_remembering.py", "tests/adapters"],
    "datastore/adapters/removing.py": ["tests/adapters/test_removing.py", "tests/adapters"],
    "datastore/connecting.py": ["tests/core/test_connecting.py"],
    "datastore/core.py": ["tests/core/test_reading.py", "tests/core/test_retrying.py", "tests/sqlite/test_damage.py"],
    "datastore/tenants/": ["tests/interfaces/test_tenants.py"],
    "datastore/deadlines.py": ["tests/robustness/test_deadlines.py"],
    "datastore/documents.py": ["tests/core/test_documents.py"],
    "datastore/forks.py": ["tests/robustness/test_forks.py"],
    "datastore/ids.py": ["tests/core/test_ids.py"],
    "datastore/calls/paging.py": ["tests/core/test_paging.py"],
    "datastore/queries/expressions.py": ["tests/core/test_patterns.py", "tests/core/test_linear_matching.py"],
    "datastore/queries/patterns.py": ["tests/core/test_patterns.py", "tests/core/test_linear_matching.py"],
    "datastore/queries/updates.py": ["tests/core/test_updates.py"],
    "datastore/queries/": ["tests/core/test_queries.py", "tests/core/test_paging.py"],
    "datastore/queries/paths.py": ["tests/core/test_updates.py", "tests/core/test_queries.py"],
    "datastore/arguments.py": ["tests/core/test_calls.py", "tests/core/test_every_parameter.py"],
    "datastore/errors.py": ["tests/core/test_calls.py"],
    "datastore/interfaces/": ["tests/interfaces"],
    "datastore/showing.py": ["tests/core/test_showing.py"],
    "datastore/validating.py": ["tests/core/test_validating.py"],
    "datastore/reading.py": ["tests/core/test_reading.py"],
    "datastore/retry.py": ["tests/core/test_retrying.py"],
    "datastore/times.py": ["tests/core/test_times.py"],
    "datastore/tls.py": ["tests/core/test_tls.py"],
    "datastore/turns.py": ["tests/robustness/test_reentry.py", "tests/robustness/test_interrupts.py"],
    "datastore/urls.py": ["tests/core/test_urls.py"],
    "datastore/values.py": ["tests/core/test_values.py"],
}
"""By the beginning of the module's path; the longest one that fits."""
LONGEST_TEST = 240
"""So many seconds may one test take: some mutants wait for ever."""
QUICK = ["tests/conformance/test_memory.py", "-k", "not twelve_thousand and not any_size and not properties"]
EVERYTHING = [
    *("tests/adapters", "tests/core", "tests/interfaces", "tests/moving", "tests/robustness", "tests/sqlite"),
    *("tests/conformance/test_memory.py", "tests/conformance/test_sqlite.py", "tests/conformance/test_isolated.py"),
]


def changed() -> str:
    """Return the path of the module that is mutated; the others are as they were committed."""
    listed = subprocess.run(
        ["git", "diff", "--name-only", "HEAD", "--", "datastore", "backends"],
        capture_output=True,
        text=True,
        check=True,
    )
    (path,) = listed.stdout.split()
    return path


def passes(arguments: list[str]) -> bool:
    here = Path.cwd()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-servers", "--tb=no", "--hypothesis-profile=mutants"]
    options += ["-o", f"faulthandler_timeout={LONGEST_TEST}", "-o", "faulthandler_exit_on_timeout=true"]
    environment = {
        **os.environ,
        "CI": "true",
        "PYTHONPATH": os.pathsep.join(map(str, (here, here / "backends"))),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Cosmic Ray's; compiling everything takes half of a short run
    return subprocess.run([sys.executable, "-m", "pytest", *options, *arguments], env=environment).returncode == 0


def main() -> int:
    module = changed()
    prefix = max((prefix for prefix in FIRST if module.startswith(prefix)), key=len, default=None)
    first = [path for path in FIRST.get(prefix or "", []) if Path(path).exists()]
    stages = [first] if first else []
    if not module.startswith("backends/"):
        stages.append(QUICK)
    if os.environ.get("MUTATION_STAGES") != "quick":
        stages.append(EVERYTHING)
    # The bytecode of a module is known by the second in which it was written: that of a mutant must not outlive it.
    bytecode = Path(importlib.util.cache_from_source(module))
    bytecode.unlink(missing_ok=True)
    try:
        return 0 if all(map(passes, stages)) else 1
    finally:
        bytecode.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
