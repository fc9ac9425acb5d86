"""The smoke test: what every device computes, and the verdict on it."""
