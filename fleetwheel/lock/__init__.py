"""A wheel set by hash, and how one is made for a target."""
