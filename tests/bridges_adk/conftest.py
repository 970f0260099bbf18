"""An agent's store on every database, as for the other bridges. Google's ADK has an environment of its own: see tox.ini."""

from tests.bridges.conftest import data_store, place, store, url

__all__ = ["data_store", "place", "store", "url"]
