"""Single cells in NEURON, driven by known synaptic events."""

import os

# NEURON says at import that it found no screen unless it is told not to look for one.
os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")
