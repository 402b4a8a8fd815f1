"""Surrogate neurons frame by frame, compiled."""
