"""Networks that stand in for a neuron: published ones, and our own."""
