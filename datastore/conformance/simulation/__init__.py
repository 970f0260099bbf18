"""A simulator: several processes with threads use an adapter, and a seed decides who goes next and what goes wrong.

The adapter's own code runs, on a model of its database. What it asks of the database goes through a `Client`, which is
the network: there requests and answers are lost, late or cut, the database is too busy or fails halfway, and processes
die. What every call came to is recorded, and must be explained by an order of the calls.

A model is a class with what `Database` asks for::

    class MyDatabase:
        faults = FAULTS          # what can go wrong; or some of these
        connects = False         # whether opening the adapter sends requests
        limits = frozenset()

        def __init__(self):      # one for each run; empty
            self.tables = ...

        def adapter(self, client):
            return MyBackend(MyConnection(self.tables, client))

where each request of ``MyConnection`` is ``client.request("what it is", carry_out)``. It raises a `ClientError` where a
real client raises an error of its own, and the adapter must translate it. ``simulate(MyDatabase)`` plays runs, and
tells the story of the first that goes wrong.

The store takes time, chance and threads from the simulator during a run. An adapter that takes them itself needs
`Replacing`.
"""

from datastore.conformance.simulation.databases import Closing, Connected, Database, MadeAnew, Replacing
from datastore.conformance.simulation.luck import FAULTS
from datastore.conformance.simulation.network import (
    AnswerCutError,
    Client,
    ClientError,
    ConnectionBrokeError,
    NoAnswerError,
    ServerError,
    TooManyRequestsError,
)
from datastore.conformance.simulation.playing import simulate

__all__ = [
    "FAULTS",
    "AnswerCutError",
    "Client",
    "ClientError",
    "Closing",
    "Connected",
    "ConnectionBrokeError",
    "Database",
    "MadeAnew",
    "NoAnswerError",
    "Replacing",
    "ServerError",
    "TooManyRequestsError",
    "simulate",
]
