"""From recordings to parameters. Importing this package loads neither torch nor sbi."""

from inference.estimate import Estimate, Estimator
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures

__all__ = ["Estimate", "Estimator", "Features", "SpectralFeatures"]
