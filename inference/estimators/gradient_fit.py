"""Fits by gradient descent through the spectral emulator, as an estimator that is trained, saved and loaded."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator, refuse_known
from inference.estimators.doubts import Doubts
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import CLOSE, Descent, Modes
from inference.recordings.conform import interpolated
from inference.recordings.edges import EDGE
from simulators.fields.following import FollowingView
from simulators.fields.linear import LinearView
from simulators.interface import ParameterSpace
from simulators.recording import SAME_RATE, Recording
from surrogates.headers import flag, integer, number, shaped, text, texts
from surrogates.spectra.background import coloured
from surrogates.spectra.cholesky import SpreadNetwork, fit_spread, with_weights
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel
from surrogates.spectra.observed import ObservedSpectrum
from surrogates.threads import one_thread

PRIOR_INFORMATION = 12.0  # about a parameter in the unit cube: one over the variance of a uniform distribution
_TAILS = 4  # degrees of freedom of errors
_PATIENCE = 5  # times the iterations of a descent, where fits are held against the truth
_DRAWN_AT_ONCE = 8  # recordings; of a minute each and a few channels they take some 100 MB
_MOST_RHYTHMS = 20
_FEWEST_BANDS = 5


@dataclass(eq=False)
class GradientFit(BaseEstimator):
    """Theta by gradient descent through the emulator's spectra, as an instrument sees them.

    The posterior is the likelihood's at a temperature that simulations held out of the emulator's training set. For
    another model with a likelihood see ``Descent.estimate``.
    """

    kind: ClassVar[str] = "gradient"

    model: SpectralModel
    features: SpectralFeatures = field(default_factory=SpectralFeatures)
    descent: Descent = field(default_factory=Descent)
    validation_fraction: float = 0.15
    about: dict[str, Any] = field(default_factory=dict, init=False)
    channels: tuple[str, ...] = field(default=(), init=False)
    unit: str = field(default="", init=False)
    caution: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._temperature: SpreadNetwork | None = None
        if self.model.emulator.channels:
            self._ready()

    @property
    def parameters(self) -> ParameterSpace:  # type: ignore[override]
        return self.model.parameters

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Learn from recordings of the emulator's channels (before the instrument, if there is one) simulated at theta.

        A share of them, chosen by the descent's seed, is held out to learn how large errors are; the others train the
        emulator, unless it is trained already. Raises ValueError as ``SpectralEmulator.fit``.
        """
        self.parameters.check_simulations(theta, len(recordings))
        order = np.random.default_rng(self.descent.seed).permutation(len(theta))
        held, kept = np.split(order, [max(20, round(self.validation_fraction * len(theta)))])
        if not self.model.emulator.channels:
            self.model.emulator.fit(theta[kept], [recordings[i] for i in kept])
        self._ready()
        self.about["trained_sd"] = self.model.sd_range(theta)
        self.about["simulations"] = len(theta)
        with one_thread():
            self._calibrate(theta[held], [recordings[i] for i in held])
        return self

    def _calibrate(self, theta: Float[np.ndarray, "held n_parameters"], recordings: Sequence[Recording]) -> None:
        """Learn from simulations held out how much larger errors are than the likelihood says, as a function of u.

        The emulator's own error, and what a Wishart distribution does not say of spectra, enter here.
        """
        view, names = self.model.view, self.parameters.names
        if view is not None:
            recordings = [
                view.observe(r, dict(zip(names, t, strict=True))) for r, t in zip(recordings, theta, strict=True)
            ]
        each = [self.model.observe(r) for r in recordings]
        data = ObservedSpectrum.stacked(each)
        truth = torch.as_tensor(self.parameters.to_unit(theta)).float()
        nuisances = torch.stack([self.model.first_nuisances(one) for one in each])
        # In a flat valley a short descent stays near the truth, and errors look too small.
        patient = replace(self.descent, iterations=_PATIENCE * self.descent.iterations)
        variables, losses = patient.descend(self.model, truth.clamp(CLOSE, 1 - CLOSE), nuisances, data)
        error = variables[:, : len(names)] - truth
        information = torch.stack([self.model.information(u, q, data) for u, q in zip(truth, nuisances, strict=True)])
        # Where a recording says nothing errors are those of the prior, whose information is added.
        information = information + PRIOR_INFORMATION * torch.eye(len(names))
        squared = torch.einsum("ni,nij,nj->n", error, information, error) / len(names)

        def loss(temperature: Tensor) -> Tensor:
            # Of a t distribution: a few fits that ended in another valley shall not make all answers vague.
            n = len(names)
            far = torch.log1p(n * squared[:, None] / (_TAILS * temperature))
            return (n * temperature.log() + (_TAILS + n) * far)[:, 0] / 2

        self._temperature = fit_spread(truth, squared.median()[None].clamp(min=0.1), loss, self.descent.seed)
        with torch.no_grad():
            self.about["temperature"] = float(self._temperature(truth).median())
        explained = [self.model.expected_loss(v[: len(names)], data) for v in variables]
        misfits = losses.numpy() - explained
        for percent in (95, 99):
            self.about[f"misfit_{percent}"] = float(np.quantile(misfits, percent / 100))
        self.about["misfit_samples"] = float(data.samples.mean())

    def _ready(self) -> None:
        source = self.model.view or self.model.emulator
        self.channels, self.unit = source.channels, source.unit
        self.about = dict(self.model.emulator.about)

    def estimate(self, recording: Recording) -> Estimate:
        """Parameters of a recording. Raises ValueError if it cannot be made to match the model's channels."""
        recording = self.ready(recording)
        with one_thread():
            data = self.model.observe(recording)
            return self.answer(recording, data, self.descent.modes(self.model, data))

    def estimate_each(self, recordings: Sequence[Recording]) -> list[Estimate]:
        """As ``estimate``, of several recordings of one length at once: the descents run side by side, much faster.

        Raises ValueError where one of them cannot be answered, or lengths differ.
        """
        ready = [self.ready(recording) for recording in recordings]
        with one_thread():
            each = [self.model.observe(recording) for recording in ready]
            modes = self.descent.modes_of_each(self.model, each)
            return [self.answer(*one) for one in zip(ready, each, modes, strict=True)]

    def answer(self, recording: Recording, data: ObservedSpectrum, modes: Modes) -> Estimate:
        """The estimate around modes that were found of a recording that is ``ready``."""
        with one_thread():
            u = modes.variables[:1, : len(self.parameters)]
            with torch.no_grad():
                # Errors that the edges of the range keep small do not make the likelihood sharper than it is.
                temperature = max(1.0, float(self._temperature(self.model.whole(u)))) if self._temperature else 1.0
            estimate = self.descent.around(self.model, modes, data, temperature)
            misfit = self.misfit(data, modes)
            share = float(self.model.unseen(recording, [range(len(self.channels))])[0])
        nuisances = modes.variables[0, len(self.parameters) + self.model.n_components :]
        doubts = Doubts(self.model, data, share)
        swapped = doubts.swapped(recording)
        unexplained = (
            *doubts.unexplained(misfit, self.worst_misfit(data)), *doubts.taken_for_noise(nuisances), *swapped
        )  # fmt: skip
        lesser = () if swapped else (*doubts.own_noise(), *doubts.mostly_background(nuisances))
        cautions = (self.caution,) if self.caution else ()
        return replace(
            estimate, warnings=(*unexplained, *lesser, *cautions, *estimate.warnings), trusted=not unexplained
        )

    def misfit(self, data: ObservedSpectrum, modes: Modes) -> float:
        """Nats by which a recording is less likely at the best fit than those that the model makes there."""
        u = modes.variables[0, : len(self.parameters)]
        return float(modes.losses[0]) - self.model.expected_loss(u, data)

    def worst_misfit(self, data: ObservedSpectrum, percent: int = 99) -> float:
        """Nats by which 99 % (or 95) of simulations as long are at most less likely than the model's own recordings."""
        # What the emulator gets wrong adds up over a longer recording, as does what a wrong model gets wrong.
        used = data.samples > 0
        longer = float(data.samples[used].mean()) / self.about.get("misfit_samples", np.inf)
        worst = float(self.about.get(f"misfit_{percent}", np.inf))
        # Of fewer bands, chance makes less; what an emulator gets wrong falls faster, by an amount that is not known.
        share = float(used.float().mean().sqrt())
        return worst * max(1.0, longer) * share if worst > 0 else worst

    def ready(self, recording: Recording) -> Recording:
        """As of every estimator; a slower recording is interpolated where its own band reaches beyond the fit's."""
        rate = self.features.sampling_rate
        if recording.sampling_rate < rate and self.features.band[1] <= EDGE * recording.sampling_rate:
            recording = interpolated(recording, rate)
        return super().ready(recording)

    def suited(self, recording: Recording) -> "GradientFit":
        """For a slower recording than those of training the fit ``within`` what it holds, which its answers then say.

        Raises ValueError where that is too little.
        """
        rate = recording.sampling_rate
        if rate >= self.features.sampling_rate * (1 - SAME_RATE) or self.features.band[1] <= EDGE * rate:
            return self
        try:
            other = self.within(0.0, EDGE * rate)
        except ValueError as error:
            raise ValueError(f"the recording is sampled at {rate:g} Hz; {error}, or record faster") from error
        other.caution = (
            f"the recording is sampled at {rate:g} Hz: {other.counted} alone count, and parameters that higher "
            f"frequencies tell of are less certain"
        )
        return other

    def within(self, low_hz: float, high_hz: float) -> "GradientFit":
        """The same fit by the bands between two frequencies (Hz) alone; nothing is trained again.

        It cannot be saved. Raises ValueError for frequencies in a wrong order, and where fewer than five bands remain.
        """
        own = self.model.band_hz or (0.0, np.inf)
        model = replace(self.model, band_hz=(max(low_hz, own[0]), min(high_hz, own[1])))
        if not low_hz < high_hz or model.counting.sum() < _FEWEST_BANDS:
            bands = self.model.emulator.bands
            raise ValueError(
                f"{low_hz:g} to {high_hz:g} Hz hold {model.counting.sum()} of the bands that the fit compares, each "
                f"{bands.width_hz:g} Hz wide or wider, in {bands.edges[0]:g} to {bands.edges[-1]:g} Hz; give a band "
                f"with {_FEWEST_BANDS} of them or more"
            )
        edges = bands_of(model)
        low, high = self.features.band
        return self._changed(model, replace(self.features, band_hz=(max(low, edges[0]), min(high, edges[1]))))

    @property
    def counted(self) -> str:
        """The frequencies that count, in words."""
        low, high = bands_of(self.model)
        return f"{low:g} to {high:g} Hz"

    def best_fit(self, recording: Recording) -> Float[np.ndarray, " n_parameters"]:
        """Theta of the highest posterior density, in physical units."""
        recording = self.ready(recording)
        with one_thread():
            modes = self.descent.modes(self.model, self.model.observe(recording))
        return self.parameters.from_unit(modes.variables[0, : len(self.parameters)].numpy().astype(float))

    def nuisances(self, recording: Recording) -> Float[Tensor, " nuisances"]:
        """What the best fit says of gain and noise, as far as the model has them."""
        if not self.model.n_nuisances:
            return torch.zeros(0)
        with one_thread():
            modes = self.descent.modes(self.model, self.model.observe(self.ready(recording)))
        return modes.variables[0, len(self.parameters) + self.model.n_components :]

    def draw(
        self,
        theta: Float[np.ndarray, "draws n_parameters"],
        duration_ms: float,
        nuisances: Float[Tensor, " nuisances"],
        rng: np.random.Generator,
    ) -> list[Recording]:
        """Recordings that the model makes at each theta: the emulator's, seen by the instrument, with gain and noise.

        Raises ValueError for a theta outside the box.
        """
        emulator, view = copy(self.model.emulator), self.model.view
        emulator.duration_ms, emulator.transient_ms = duration_ms, 0.0
        drawn = []
        space = emulator.parameters
        theta = space.from_unit(self.model.whole(torch.as_tensor(self.parameters.to_unit(theta))).numpy())
        for some in np.array_split(theta, max(1, len(theta) // _DRAWN_AT_ONCE)):
            sources = emulator.simulate_batch(some, rng.spawn(len(some)))
            for t, source in zip(some, sources, strict=True):
                by_name = dict(zip(emulator.parameters.names, t, strict=True))
                recording = source if view is None else view.observe(source, by_name)
                drawn.append(recording.with_values(self._with_noise(recording, nuisances, rng)))
        return drawn

    def _with_noise(
        self, recording: Recording, nuisances: Float[Tensor, " nuisances"], rng: np.random.Generator
    ) -> Float[np.ndarray, "channels samples"]:
        values = recording.values * (float(nuisances[0].exp()) if self.model.gain else 1.0)
        noise = self.model.noise
        if noise is None:
            return values
        frequencies = np.fft.rfftfreq(values.shape[1], 1 / recording.sampling_rate).clip(min=1.0)
        density = noise.density(nuisances[-noise.size :], torch.as_tensor(frequencies).float()).numpy()
        return values + coloured(density, values.shape, recording.sampling_rate, rng)

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        refuse_known(self.model.known)
        if self.model.band_hz is not None:
            raise ValueError("a fit within a band only estimates; save the one that it was made of")
        settings, tensors = self.model.emulator.state()
        if self._temperature:
            tensors |= {f"temperature.{k}": v.half() for k, v in self._temperature.state_dict().items()}
        view = self.model.view
        header: dict[str, Any] = {
            "emulator": settings,
            "fit": asdict(self.descent) | {"validation_fraction": self.validation_fraction},
            "model": {name: getattr(self.model, name) for name in ("gain", "floor", "background", "rhythms")},
            "view": None,
        }
        if view is not None:
            kernels = torch.as_tensor(view.kernels)
            tensors["kernels"] = kernels if isinstance(view, LinearView) else kernels.float()
            header["view"] = view.to_json()
        return header, tensors

    @classmethod
    def _restored(
        cls, parameters: ParameterSpace, features: Features, header: dict[str, Any], tensors: dict[str, Tensor]
    ) -> Self:
        view = None if header["view"] is None else _view(header["view"], tensors, parameters)
        emulator = SpectralEmulator.restored(header["emulator"], tensors)
        gain, floor, background = (
            flag({"background": False} | header["model"], name) for name in ("gain", "floor", "background")
        )
        rhythms = integer({"rhythms": 0} | header["model"], "rhythms", 0, _MOST_RHYTHMS)
        if emulator.parameters != parameters:
            raise ValueError(
                f"it answers for {', '.join(parameters.names)}, its emulator for other parameters or ranges"
            )
        if view is not None and view.sources != emulator.channels:
            raise ValueError(
                f"its sources are {', '.join(view.sources)}, its emulator's {', '.join(emulator.channels)}"
            )
        settings = dict(header["fit"])
        fraction = number(settings, "validation_fraction", 0.0, 1.0)
        del settings["validation_fraction"]
        if not isinstance(features, SpectralFeatures):
            raise ValueError("a gradient fit compares spectra")
        model = SpectralModel(emulator, view, gain, floor, background=background, rhythms=rhythms)
        fit = cls(model, features, Descent(**settings), fraction)
        if (fit.channels, fit.unit) != (texts(header, "channels"), header["unit"]):
            raise ValueError(f"its channels are not those that it sees: {', '.join(fit.channels)} in {fit.unit}")
        fit._temperature = with_weights(SpreadNetwork(len(parameters), torch.ones(1)), "temperature.", tensors)
        return fit

    def given(self, known: Mapping[str, float]) -> "GradientFit":
        self.model.emulator.parameters.without(known)
        return self._changed(replace(self.model, known=dict(known)), self.features)

    def with_nuisances(
        self,
        gain: bool | None = None,
        floor: bool | None = None,
        background: bool | None = None,
        rhythms: int | None = None,
    ) -> "GradientFit":
        """The same fit for recordings of unknown ``gain``, with a noise ``floor``, or a ``background`` of any exponent.

        rhythms: how many come from elsewhere, on top of a background. None leaves as it is what the fit assumes;
        nothing is trained again. Raises ValueError for rhythms without a background.
        """
        asked: dict[str, Any] = {"gain": gain, "floor": floor, "background": background, "rhythms": rhythms}
        changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        model = replace(self.model, **changed)
        if model.rhythms and not model.background:
            raise ValueError("rhythms that come from elsewhere are part of a background; ask for background=True too")
        return self._changed(model, self.features)

    def _changed(self, model: SpectralModel, features: SpectralFeatures) -> "GradientFit":
        """What was learned, with another model around it."""
        other = replace(self, model=model, features=features)
        other.about, other._temperature, other.caution = dict(self.about), self._temperature, self.caution
        return other


def bands_of(model: SpectralModel) -> tuple[float, float]:
    """Lowest and highest frequency (Hz) of the bands that count."""
    edges, counting = model.emulator.bands.edges, np.flatnonzero(model.counting)
    return float(edges[counting[0]]), float(edges[counting[-1] + 1])


def _view(fields: dict[str, Any], tensors: dict[str, Tensor], parameters: ParameterSpace) -> LinearView | FollowingView:
    """The instrument of a file. Raises ValueError where it is none."""
    texts(fields, "channels"), texts(fields, "sources"), text(fields, "unit")
    for sign, names in fields["weights"]:
        number({"weight": sign}, "weight", -1e9, 1e9)
        if unknown := set(names) - set(parameters.names):
            raise ValueError(f"a weight is a product of {unknown}; its parameters are {', '.join(parameters.names)}")
    if "nodes" in fields:
        for name in ("step_ms", "bin_ms", "synapse_ms"):
            number(fields, name, 1e-3, 1e3)
        view = FollowingView.from_json(fields, shaped(tensors, "kernels", (None,) * 5).double().numpy())
        if unknown := view.names - set(parameters.names):
            raise ValueError(f"its kernels follow {unknown}; its parameters are {', '.join(parameters.names)}")
        return view
    number(fields, "sampling_rate", 1e-3, 1e6)
    return LinearView.from_json(fields, shaped(tensors, "kernels", (None, None, None)).numpy())
