"""The command line: each command next to the tables that it prints."""
