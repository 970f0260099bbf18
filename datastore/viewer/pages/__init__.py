"""The pages: for each address a function from a `Visit` to what is shown. Each asks the store for what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response

from datastore.viewer.pages import beside, mending, removing
from datastore.viewer.pages.exporting import export
from datastore.viewer.pages.health import doctor, tried
from datastore.viewer.pages.near import near
from datastore.viewer.pages.pictures import pictures, sizes
from datastore.viewer.pages.record import record, value
from datastore.viewer.pages.records import check, records
from datastore.viewer.pages.searching import search
from datastore.viewer.pages.users import user, users
from datastore.viewer.visits import Page, Redirect, Visit

PAGES: Mapping[tuple[str, str], Callable[[Visit], Page | Redirect | Response]] = {
    ("", "GET"): users,
    ("user", "GET"): user,
    ("records", "GET"): records,
    ("record", "GET"): record,
    ("value", "GET"): value,
    ("near", "GET"): near,
    ("export", "GET"): export,
    ("search", "GET"): search,
    ("beside", "GET"): beside.beside,
    ("log", "GET"): beside.log,
    ("run", "GET"): beside.run,
    ("blob", "GET"): beside.blob,
    ("sizes", "GET"): sizes,
    ("pictures", "GET"): pictures,
    ("doctor", "GET"): doctor,
    ("doctor", "POST"): tried,
    ("edit", "GET"): mending.edit,
    ("edit", "POST"): mending.save,
    ("check", "GET"): check,
    ("check", "POST"): mending.check,
    ("new", "GET"): mending.new,
    ("new", "POST"): mending.create,
    ("touch", "POST"): mending.touch,
    ("rename", "POST"): mending.rename,
    ("delete", "POST"): mending.delete,
    ("remove", "GET"): removing.ask,
    ("remove", "POST"): removing.remove,
}
"""By address and method."""
