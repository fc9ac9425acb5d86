"""What was done and found, for people and for other programs."""
