"""What is done on a host: the decision, the plan, the record."""
