"""A surrogate held against its cell."""
