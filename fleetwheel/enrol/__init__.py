"""New hosts: their place in the inventory."""
