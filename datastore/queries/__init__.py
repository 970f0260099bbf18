"""The query language, with the same meaning on every database."""
