"""What is asked for, read from the inventory's YAML."""
