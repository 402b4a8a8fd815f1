"""Fast differentiable stand-ins for simulators."""
