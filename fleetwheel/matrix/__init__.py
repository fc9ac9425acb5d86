"""Which torch releases exist, and for which GPUs, drivers and systems."""
