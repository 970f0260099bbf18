"""What passes between psycopg's connections and the server: statements, where a connection waits for their end."""

import psycopg

from datastore_postgresql.client import Connection
from tests.adapters import connections


class Wire(connections.Wire):
    """Notes the statement of each request."""

    def __init__(self, monkeypatch):
        super().__init__()
        wait, carry_out = Connection.wait, Connection.carry_out
        said = []

        def noted(connection, statement, parameters):
            said.append(statement)
            return carry_out(connection, statement, parameters)

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
