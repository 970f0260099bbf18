"""Finding on SQLite: what the reference finds, and each trap by name."""

from tests.adapters.finding import AgainstTheReference, Traps


class TestAgainstTheReference(AgainstTheReference):
    pass


class TestTraps(Traps):
    not_indexed = '"\\\n\0'
