"""What passes between the client's connections and the server, with faults to let happen."""

from collections import deque

import psycopg

from datastore_postgresql.client import Connection


class Wire:
    """Notes the statements of each request, where the connection waits for the server.

    Attributes:
        requests: The statement of each request.
        rows: How many rows were handed over.
    """

    def __init__(self, monkeypatch):
        self.requests = []
        self.rows = 0
        self.faults = deque()
        self.meanwhile = lambda: None
        wait, carry_out = Connection.wait, Connection.carry_out
        said = []

        def noted(connection, statement, parameters):
            said.append(statement)
            rows = carry_out(connection, statement, parameters)
            self.rows += len(rows)
            return rows

        def waited(connection, gen, *arguments, **options):
            self.requests.append(said.pop() if said else "")
            fault = self.faults.popleft() if self.faults else None
            if fault == "unsent":
                raise psycopg.OperationalError("the connection is cut")
            result = wait(connection, gen, *arguments, **options)
            if fault == "unanswered":  # the server is done with it
                self.meanwhile()
                raise TimeoutError("no answer in time")
            return result

        monkeypatch.setattr(Connection, "carry_out", noted)
        monkeypatch.setattr(Connection, "wait", waited)

    def meet(self, *faults, meanwhile=None):
        """Let these happen to the next requests: ``unsent``, ``unanswered`` after it was carried out, or ``None``."""
        self.faults.extend(faults)
        if meanwhile is not None:
            self.meanwhile = meanwhile

    def of(self, call):
        """Return how many requests a call takes."""
        self.requests.clear()
        self.rows = 0
        call()
        return len(self.requests)
