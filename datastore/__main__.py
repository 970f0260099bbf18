"""``python -m datastore`` is the command ``datastore``."""

from datastore.cli import main

main()
