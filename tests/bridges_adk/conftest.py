"""An agent's store on every database, as for the other bridges. The environment is another one: see tox.ini."""

from tests.bridges.conftest import data_store, place, store, url

__all__ = ["data_store", "place", "store", "url"]
