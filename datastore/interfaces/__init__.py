"""Other ways to work with an agent's store: `Vault` and `KeyValueStore`, each a thin layer over its calls."""
