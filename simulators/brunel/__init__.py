"""The Brunel network: its description (model), in NEST (nest_network) and compiled (compiled_network)."""
