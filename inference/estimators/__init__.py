"""Learn once from simulations, answer often: CNN, neural posterior, nearest simulations, gradient fit."""
