"""The parts of the choice, each pure: what a wheel needs, what a host is, what is there."""
