"""Many simulations of one simulator, run in parallel and stored with every failure on record."""
