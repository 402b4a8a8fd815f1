"""A user's own cell, from its files."""
