"""What a host is: its profile, its driver, its name."""
