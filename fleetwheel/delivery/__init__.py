"""How wheels get to a host: fetched, through a mirror, pushed."""
