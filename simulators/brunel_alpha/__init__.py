"""The two-population network with alpha-shaped synapses and ten unknown parameters: NEST and compiled."""
