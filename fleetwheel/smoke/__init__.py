"""What a smoke test found, and what its faults are called."""
