"""The best that any estimator could do: the Cramér-Rao limit of a gradient fit's model."""

import numpy as np
import torch
from jaxtyping import Float

from inference.estimators.gradient_fit import GradientFit
from simulators.recording import Recording

_HALF_NORMAL = (2 / np.pi) ** 0.5  # mean absolute value of a unit normal


def cramer_rao_sd(
    fit: GradientFit,
    theta: Float[np.ndarray, "recordings n_parameters"],
    recording: Recording,
    components: bool = True,
    prior: float = 0.0,
) -> Float[np.ndarray, "recordings n_parameters"]:
    """Smallest standard deviation of an unbiased estimate at each theta, as a share of the range.

    From the Fisher information of spectra of a recording as long as ``recording``, by the fit's model: its components
    are what networks drawn anew at one theta, and one network at different times, differ by. Without ``components`` the
    limit is that of Gaussian processes with these spectra. It knows nothing of the edges of the range: where it is a
    large part of the range, estimates inside it err less. prior: information on each parameter in the unit cube that
    is added; 12 is that of a uniform distribution (the limit of biased estimates by van Trees, as if it were normal).
    """
    model = fit.model
    observed = model.observe(fit.ready(recording))
    nuisances = model.first_nuisances(observed)
    units = torch.as_tensor(fit.parameters.to_unit(theta)).float()
    information = np.stack([model.information(u, nuisances, observed, components).numpy().astype(float) for u in units])
    information = information + prior * np.eye(information.shape[1])
    return np.sqrt(np.diagonal(np.linalg.inv(information), axis1=1, axis2=2))


def error_limit(
    fit: GradientFit,
    theta: Float[np.ndarray, "recordings n_parameters"],
    recording: Recording,
    components: bool = True,
    prior: float = 0.0,
) -> Float[np.ndarray, " n_parameters"]:
    """Mean absolute error of normal estimates at the Cramer-Rao limit, as a share of the range."""
    return _HALF_NORMAL * cramer_rao_sd(fit, theta, recording, components, prior).mean(0)
