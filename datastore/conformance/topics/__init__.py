"""The tests: one topic a file, one behaviour a test."""
