"""What passes between psycopg's connections and the server: statements, where a connection waits for their end."""

import psycopg

from datastore_postgresql.client import Connection
from tests.adapters import connections


class Wire(connections.Wire):
    """Notes the statement of each request.

    Attributes:
        rows: How many rows were handed over since the last request that was counted.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.rows = 0
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
