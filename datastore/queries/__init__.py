"""The query language: one meaning, whichever database answers."""
