"""What a host is: pyinfra facts, each one round trip."""
