"""The commands of `python -m api`, one a file."""
