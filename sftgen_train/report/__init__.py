"""What a run looks like: tables for the terminal, one HTML file."""
