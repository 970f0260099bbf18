"""Choose mutants at random, with a fixed seed, among those that Cosmic Ray can make; ``README.md`` says how.

Mutants in annotations are left out: nothing evaluates annotations, so no test could find them.
"""

from __future__ import annotations

import argparse
import ast
import random
import sqlite3
from pathlib import Path


def annotations(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where the annotations of a module, and the types that it gives names to, begin and end."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg):
            found.append(node.annotation)
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
            if isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias":
                found.append(node.value)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", help="made by cosmic-ray init")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--seed", type=int, default=13)
    given = parser.parse_args()
    database = sqlite3.connect(given.session)
    rows = database.execute(
        "SELECT job_id, module_path, start_pos_row, start_pos_col FROM mutation_specs"
        " ORDER BY module_path, start_pos_row, start_pos_col, operator_name, operator_args, occurrence"
    ).fetchall()
    skipped: dict[str, list] = {}
    sites: dict[tuple[str, int, int], list[str]] = {}
    for job, module, row, column in rows:
        places = skipped.setdefault(module, annotations(Path(module)))
        if not any(start <= (row, column) < end for start, end in places):
            sites.setdefault((module, row, column), []).append(job)
    # One place counts once, however many mutants can be made of it: of "+" a dozen.
    generator = random.Random(given.seed)
    chosen = [generator.choice(sites[site]) for site in generator.sample(sorted(sites), min(given.size, len(sites)))]
    database.execute("CREATE TEMP TABLE chosen (job_id TEXT)")
    database.executemany("INSERT INTO chosen VALUES (?)", [(job,) for job in chosen])
    for table in ("mutation_specs", "work_items", "work_results"):
        database.execute(f"DELETE FROM {table} WHERE job_id NOT IN (SELECT job_id FROM chosen)")
    database.commit()
    print(f"{len(chosen)} mutants, each at one of {len(sites)} places")


if __name__ == "__main__":
    main()
