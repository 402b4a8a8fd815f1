"""From the posteriors of single recordings to what groups of them have in common."""
