"""Circuits of excitatory and inhibitory Hodgkin-Huxley cells: in NEURON, and as one compiled loop."""
