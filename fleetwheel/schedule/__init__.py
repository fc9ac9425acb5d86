"""What a host does at regular times: its settings, its two jobs, and how schedulers are told."""
