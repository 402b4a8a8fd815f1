"""Differentiable emulator of population activity's cross-spectra, and its likelihood through an instrument."""
