"""What a bare host gets before PyTorch: a Python, and a driver for its GPUs."""
