"""What sits on a neuron: Izhikevich's neuron, calcium and voltage indicators."""
