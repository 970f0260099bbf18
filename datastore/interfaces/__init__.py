"""Other ways to work with an agent's store, each a thin layer over its calls: `Vault`, `KeyValueStore`."""
