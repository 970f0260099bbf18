"""How long a test waits for what always comes: how soon it comes decides nothing."""

PATIENCE = 200.0
"""Seconds. What has not ended by then hangs.

On a machine that does twenty things at once, a command that needs two seconds of a processor has taken more than 60 s.
It is less than tests/mutation gives a test, so a mutant that hangs fails here, and with a message.
"""
