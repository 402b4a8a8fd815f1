"""Simulators and forward models. Importing this package loads neither NEST nor NEURON nor torch."""

from simulators.interface import ForwardModel, Observed, Parameter, ParameterSpace, Simulator
from simulators.recording import Recording, Spikes

__all__ = ["ForwardModel", "Observed", "Parameter", "ParameterSpace", "Recording", "Simulator", "Spikes"]
