"""What holds for all tests: the kit's report, and pytest's own means to test a plugin."""

pytest_plugins = ["datastore.conformance.plugin", "pytester"]
