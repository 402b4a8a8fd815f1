"""Fits, a recording and an estimate that pages to play with are made of, and their spectra by another way."""

import functools

import numpy as np
import torch

from inference.estimate import Estimate
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.features.spectra import SpectralFeatures
from inference.reports.recording_page import write_report
from inference.workflows.play import chosen_fit
from inference.workflows.shipped import SHIPPED
from simulators.fields.following import FollowingView
from simulators.fields.linear import Weight
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

NASTY = "</script><script>document.title='broken'</script><!-- & \"quoted\" '"


@functools.cache
def six_contacts() -> GradientFit:
    return load_estimator(SHIPPED / "brunel_ai_gradient.safetensors")


@functools.cache
def column() -> GradientFit:
    return chosen_fit(circuit="column")


@functools.cache
def following() -> GradientFit:
    """Four channels and two sources, through kernels that follow the membrane; what the emulator learned is noise."""
    space = ParameterSpace(
        (
            Parameter("tau_m", "ms", 15.0, 30.0), Parameter("C_m", "pF", 100.0, 300.0),
            Parameter("tau_syn", "ms", 1.0, 8.0), Parameter("delay", "ms", 0.1, 4.0),
            Parameter("C_syn", "fC", 25.0, 100.0),
        )
    )  # fmt: skip
    rng = np.random.default_rng(0)
    theta = space.sample(60, rng)
    mixed = np.array([[1.0, 0.0], [0.4, 0.8]]) @ rng.normal(size=(60, 2, 1000))
    emulator = SpectralEmulator(space, Bands(2.5, 450.0, 10.0), width=16, rank=4, iterations=50)
    emulator.fit(theta, [Recording(values, 1000.0, "1", ("E", "I")) for values in mixed])
    nodes = (("tau_m", (16.0, 21.0, 28.0)), ("C_m", (120.0, 180.0, 260.0)))
    lags = np.arange(120) * 0.25
    shapes = np.stack([lags / tau * np.exp(-lags / tau) for tau in (8.0, 12.0, 18.0)])
    kernels = rng.normal(size=(1, 3, 2, 4, 1)) * shapes[:, None, None, None]
    weights = (Weight(1.0, ("C_syn",)), Weight(-2.0, ("C_syn",)))
    view = FollowingView(kernels, nodes, 0.25, 1.0, 1.0, "mV", tuple("abcd"), ("E", "I"), weights)
    return GradientFit(SpectralModel(emulator, view), SpectralFeatures(1000.0))


@functools.cache
def recorded(seed=5, duration_ms=3000.0, theta=(0.17, 5.2, 2.0)) -> Recording:
    """What the emulator draws: a recording that the fit explains."""
    fit = six_contacts()
    (drawn,) = fit.draw(np.array([theta]), duration_ms, torch.zeros(0), np.random.default_rng(seed))
    return drawn


def answer(fit=None, centre=(0.17, 5.2, 2.0), seed=0, **changes) -> Estimate:
    space = (fit or six_contacts()).parameters
    samples = np.array(centre) * (1 + 0.01 * np.random.default_rng(seed).normal(size=(300, len(space))))
    return Estimate(space, samples.mean(0), samples, "gradient fit", **changes)


def expected_powers(fit, theta, seconds=4.0):
    """Auto-spectra (one-sided) by another way: the kernels at every frequency of a recording, averaged over bands."""
    emulator, view = fit.model.emulator, fit.model.view
    spectra = emulator.spectra(theta[None])[0]
    if view is None:
        return 2 * np.einsum("fcc->cf", spectra).real
    bands, powers = emulator.bands, []
    by_name = dict(zip(emulator.parameters.names, theta, strict=True))
    weights = np.diag([w.of(by_name) for w in view.weights])
    for f, (low, high) in enumerate(zip(bands.edges[:-1], bands.edges[1:], strict=True)):
        seen = view.transfer(np.arange(low, high, 1 / seconds) + 0.5 / seconds) @ weights
        powers.append(np.einsum("fck,kl,fcl->fc", seen, spectra[f], seen.conj()).real.mean(0))
    return 2 * np.array(powers).T


def report_of(path, **named):
    parts = dict(title="A report", recording=recorded(), features=six_contacts().features, estimates=[answer()])
    write_report(path, **{**parts, **named})
    return path.read_text(encoding="utf-8")
