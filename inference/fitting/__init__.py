"""Search for the parameters of one recording: gradient descent with many starts, sampling."""
