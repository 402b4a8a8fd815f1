"""Single cells in NEURON, driven by known synaptic events."""
