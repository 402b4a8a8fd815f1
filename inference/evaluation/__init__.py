"""Numbers on trust: scores on known parameters, the best possible, calibration, posterior predictive checks."""
