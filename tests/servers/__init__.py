"""The real servers that the tests run against: installed on first need, started once a session, ended by process id."""
