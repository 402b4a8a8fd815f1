"""What an estimator sees of a recording."""
