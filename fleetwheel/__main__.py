"""`python -m fleetwheel`: the command line."""

from fleetwheel.cli import main

main()
