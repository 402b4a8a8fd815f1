"""A Gaussian process that emulates spectra, as a peer of the spectral emulator: one for each principal component."""

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from scipy.linalg import cho_factor, cho_solve
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from simulators.recording import Recording
from surrogates.spectra.cholesky import CholeskyNetwork, wishart_loss
from surrogates.spectra.cross_spectrum import Bands, cross_spectrum
from surrogates.spectra.emulator import factor_of

COMPONENTS = 30  # principal ones; more are noise
_CHOSEN_ON = 500  # rows that choose the lengths of a kernel


def held_out_loss(
    u: Float[np.ndarray, "rows n_parameters"], recordings: list[Recording], bands: Bands, n: int
) -> float:
    """Mean negative log likelihood (nats) of the rows from ``n`` on, by processes that the first ``n`` taught.

    The same transform of spectra and the same likelihood as ``SpectralEmulator.score``: log diagonals and relative
    entries of Cholesky factors, standardised; a squared exponential with a length of its own for each parameter, and
    noise.
    """
    spectra = [cross_spectrum(r, bands) for r in recordings]
    factors = torch.stack([factor_of(s) for s in spectra])
    samples = torch.as_tensor(np.stack([s.samples for s in spectra[n:]])).float()
    means = torch.as_tensor(np.stack([r.steady.mean(1) for r in recordings])).float()
    rank = min(COMPONENTS, n)
    net = CholeskyNetwork(u.shape[1], len(bands), factors.shape[-1], 1, rank)
    net.learn_scale(factors[:n], means[:n])
    flat = net.flat(factors, means)
    basis = net.basis
    assert isinstance(basis, torch.nn.Linear)
    axes = basis.weight.detach().double().numpy()
    scores = ((flat - net.mean) / net.scale).double().numpy() @ axes / (axes**2).sum(0)
    found = np.stack([_predicted(u[:n], scores[:n, k], u[n:]) for k in track(range(rank), "Gaussian processes")], 1)
    with torch.no_grad():
        net.body = torch.nn.Identity()  # type: ignore[assignment]
        predicted = net(torch.as_tensor(found / 2 + 0.5).float())[0]  # the network takes 2 u - 1
    return float(wishart_loss(predicted, factors[n:], samples).mean())


def _predicted(
    u: Float[np.ndarray, "rows n_parameters"],
    y: Float[np.ndarray, " rows"],
    at: Float[np.ndarray, "others n_parameters"],
) -> Float[np.ndarray, " others"]:
    """Mean of the process at other places."""
    kernel = ConstantKernel(1.0) * RBF(np.ones(u.shape[1]), (0.05, 1e3)) + WhiteKernel(0.1, (1e-5, 10.0))
    some = slice(0, _CHOSEN_ON)
    fitted = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(u[some], y[some])
    kernel, mean, scale = fitted.kernel_, y.mean(), y.std()
    weights = cho_solve(cho_factor(kernel(u)), (y - mean) / scale)
    return mean + scale * (kernel(at, u) @ weights)
