"""Programs that run on a host with the host's own Python (3.8 or newer), standard library only."""
