"""Networks of surrogate neurons: circuits, compiled to be simulated and in torch with gradients."""
