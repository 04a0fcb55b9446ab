"""Diagnostics that come with sftgen."""
