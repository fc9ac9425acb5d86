"""Wheels on their way to a host: where they come from, what is locked, how they get there."""
