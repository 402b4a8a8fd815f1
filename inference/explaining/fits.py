"""One channel laid before a circuit, or before a background alone: what each makes of its spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.departures import PredictiveCheck, checked_features
from inference.explaining.spectra import BANDS, as_trials, spectrum
from inference.fitting.descent import FAR_FROM_NORMAL
from simulators.recording import Recording
from surrogates.spectra.background import Background, coloured
from surrogates.spectra.cholesky import expected_wishart_loss, wishart_loss
from surrogates.spectra.observed import ObservedSpectrum
from surrogates.threads import one_thread

_DRAWS = 64
_CHI_STARTS = (0.5, 1.5, 3.0)
_LIKELY = 3.0  # standard deviations of the misfit of a recording that the background made


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a circuit, or a background alone, makes of a recording.

    misfit: nats by which the recording, and the background that it takes, are less likely than the fit's own; worst:
    what 95 % of a circuit's own recordings stay below; share: of the power that is compared, that the fit puts down to
    the background; estimate: of the circuit's parameters, where it fits.
    """

    name: str
    misfit: float
    worst: float
    share: float
    check: PredictiveCheck
    estimate: Estimate | None = None

    @property
    def fits(self) -> bool:
        """Whether the recording could be one of its own."""
        return self.misfit <= self.worst and not self.check.poor


def explained_by(name: str, fit: GradientFit, recording: Recording | Sequence[Recording], seed: int = 0) -> Explanation:
    """The circuit of a trained fit, with a background of its own and unknown gain; trials count as one recording."""
    free = fit.with_nuisances(gain=True, background=True)
    model = free.model
    ready = [free.ready(trial) for trial in as_trials(recording)]
    with one_thread():
        data = _observed(free, ready)
        modes = free.descent.modes(model, data)
        u, misfit = modes.variables[0, : len(free.parameters)], free.misfit(data, modes)
        nuisances = modes.variables[0, len(free.parameters) + model.n_components :]
        share = background_share(model.noise_density(nuisances), data)
    spectra = _predicted(free, u, nuisances, sum(r.duration_ms for r in ready), seed)
    check = checked_features(spectrum(free.features, ready), free.features, ready[0].channels, spectra, emulated=True)
    found = Explanation(name, misfit, free.worst_misfit(data, 95), share, check)
    if not found.fits:  # nobody asks for parameters, and the posterior takes longer than the fit
        return found
    estimate = free.answer(ready[0], data, modes)
    if any(warning.startswith(FAR_FROM_NORMAL) for warning in estimate.warnings):
        estimate = replace(estimate, trusted=False)
    return replace(found, estimate=estimate)


def _observed(fit: GradientFit, ready: Sequence[Recording]) -> ObservedSpectrum:
    each = [fit.model.observe(one) for one in ready]
    return each[0] if len(each) == 1 else ObservedSpectrum.averaged(each)


def _predicted(
    fit: GradientFit, u: Tensor, nuisances: Tensor, duration_ms: float, seed: int
) -> Float[np.ndarray, "draws 1 frequencies"]:
    """Spectra of recordings that the best fit makes, with its gain and its background."""
    rng = np.random.default_rng(seed)
    theta = np.tile(fit.parameters.from_unit(u.numpy().astype(float)), (_DRAWS, 1))
    drawn = fit.draw(np.clip(theta, fit.parameters.low, fit.parameters.high), duration_ms, nuisances, rng)
    return np.stack([fit.features(one) for one in drawn])


def background_share(density: Float[Tensor, " bands"], data: ObservedSpectrum) -> float:
    """Of the recording's power in the bands."""
    used = data.samples > 0
    power = data.factors.abs().square()[:, 0, 0]
    return float((density[used].sum() / power[used].sum()).clamp(max=1))


def background_alone(
    name: str, fit: GradientFit, recording: Recording | Sequence[Recording], seed: int = 0
) -> Explanation:
    """White noise and a power of the frequency with a knee, and nothing else; fit: of any circuit, for its bands."""
    ready, background = [fit.ready(trial) for trial in as_trials(recording)], Background()
    data = _observed(fit, ready)
    centres = torch.as_tensor(BANDS.centres).float()
    power = data.factors.abs().square()[:, 0, 0]
    level = float(power[data.samples > 0][:5].mean())

    def loss(values: np.ndarray) -> float:
        v = torch.as_tensor(values).float()
        factors = background.density(v, centres).clamp(min=1e-30).sqrt().to(torch.complex64)[:, None, None]
        found = wishart_loss(factors[None], data.factors[None], data.samples[None])[0]
        return float(found + background.penalty(v))

    starts = [[np.log(level), chi, *background.first(1.0)[2:]] for chi in _CHI_STARTS]
    with one_thread(), torch.no_grad():
        best = min((minimize(loss, s, method="Nelder-Mead", options={"maxiter": 800}) for s in starts),
                   key=lambda one: one.fun)  # fmt: skip
        expected = float(expected_wishart_loss(1, data.samples[None])[0])
        misfit = float(best.fun) - expected
    used = data.samples[data.samples > 0].numpy()
    # Of n samples a band the misfit has a variance of n^2 (trigamma(n)) - n; about a half each.
    worst = _LIKELY * float(np.sqrt(0.5 * len(used)))
    rng, variables = np.random.default_rng(seed), torch.as_tensor(best.x).float()
    first, n = ready[0], sum(one.values.shape[1] for one in ready)
    frequencies = np.fft.rfftfreq(n, 1 / first.sampling_rate).clip(min=1.0)
    density = background.density(variables, torch.as_tensor(frequencies).float()).numpy()
    drawn = [replace(first, values=coloured(density, (1, n), first.sampling_rate, rng)) for _ in range(_DRAWS)]
    spectra = np.stack([fit.features(one) for one in drawn])
    check = checked_features(spectrum(fit.features, ready), fit.features, first.channels, spectra, emulated=True)
    return Explanation(name, misfit, worst, 1.0, check)
