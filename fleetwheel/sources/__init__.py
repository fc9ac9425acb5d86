"""Where wheels are: the configured sources, and what they really hold."""
