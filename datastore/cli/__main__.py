"""``python -m datastore.cli`` is the command ``datastore``."""

from datastore.cli import main

main()
