"""`python -m transfercast` is the command line."""

from transfercast.cli import main

main()
