"""Windows hosts: the connector, and how a command gets there unchanged."""
