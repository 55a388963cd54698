"""What the command line does, one concern per file; `engine/cli.py` is its door."""
