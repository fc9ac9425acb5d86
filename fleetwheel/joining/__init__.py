"""A host on its way into the inventory: its line, and the keys that prove who it is."""
