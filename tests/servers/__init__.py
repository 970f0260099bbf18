"""The real servers that the tests run against: installed on first need, started once per session, ended by process id."""
