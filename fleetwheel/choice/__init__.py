"""The choice: a target in, the wheels that serve it out, or a refusal with what would change it."""
