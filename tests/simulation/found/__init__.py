"""Runs that once went wrong, written by `python -m tests.simulation --write-test`."""
