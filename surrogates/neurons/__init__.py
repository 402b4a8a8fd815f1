"""Surrogate neurons: networks that answer synaptic events as a cell in NEURON does."""
