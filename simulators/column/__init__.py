"""The cortical column of the Human Neocortical Neurosolver: connectivity, drives, and its simulator in NEURON."""
