"""Time that passes only when a test says so, as far as the deadlines of calls go."""

from types import SimpleNamespace

from datastore import deadlines


class Clock:
    """Stands still. A call that begins with 30 s can so be made to take longer, without anybody waiting."""

    def __init__(self, monkeypatch):
        self._now = 0.0
        monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda: self._now))

    def advance(self, *_, seconds=20.0):
        """Let time pass, as each request does that takes long."""
        self._now += seconds
