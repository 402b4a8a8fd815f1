"""The terminal: one file a command. ``inference.cli`` registers them."""
