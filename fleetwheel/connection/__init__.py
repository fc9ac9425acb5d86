"""SSH to Linux and Windows: host keys, quoting, lost connections."""
