"""From a file to a recording that an estimator can answer for."""
