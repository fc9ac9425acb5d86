"""How a host changes: pyinfra operations."""
