"""The tests: one topic in each file, and one behaviour in each test."""
