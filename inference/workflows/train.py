"""Train estimators on what a study sees of a campaign."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.estimators.amortised import AmortisedEstimator
from inference.estimators.base import BaseEstimator
from inference.estimators.cnn import CNNRegressor, stasik_regressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.choice import SIMULATIONS_TO_CHOOSE_WITH, chosen_spectra
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from inference.recordings.conform import resampled
from inference.workflows.shipped import SHIPPED, shipped_emulator
from inference.workflows.study import Study, split_rows, study_of
from inference.workflows.unknown_depth import UnknownDepth
from simulators.campaigns.store import Campaign
from simulators.fields.following import FollowingView
from simulators.fields.linear import LinearView
from simulators.fields.probes import Probe
from simulators.interface import ParameterSpace, Simulator
from simulators.recording import SAME_RATE, Recording
from surrogates.spectra.additions import Additions
from surrogates.spectra.cross_spectrum import Bands, band_transform
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

KINDS = ("cnn", "npe", "gradient")
_BANDS = 99
_FEW, _SCREENED = 5, 256  # parameters; places from which the starts of a descent in more are chosen
_COPIES = 4  # of a simulation, with other additions, or at another depth, each time
_LOOKED_AT = 30  # recordings, to choose bands
_WORTH = 0.005  # nats a sample, that bands of unequal width must gain
_SAMPLES = 3.0  # a band and channel: fewer give cross-spectra without an inverse


def train(
    study: Study,
    campaign: Campaign,
    kinds: Sequence[str] | None = None,
    seed: int = 0,
    test: int = 0,
    progress: bool = True,
    duration_s: float | None = None,
    rows: Sequence[range] | None = None,
    additions: Additions | None = None,
    depth_within_um: float | None = None,
) -> Iterator[tuple[str, BaseEstimator]]:
    """Train estimators on what ``study`` sees of a campaign, all but its last ``test`` rows, one after another.

    Arguments:
        kinds: "cnn", "npe" and "gradient" by default (the last only on spectra); also "nearest" and "stasik-cnn",
            which has its published features.
        duration_s: length of the recordings they are for, that of the simulations by default. Shorter ones are cut
            from the simulations; longer ones the spectral emulator draws. The gradient fit answers for any length.
        rows: of the campaign to train on, instead of all but the last ``test``.
        additions: what recordings have besides the circuit. Estimators that learn see each simulation a few times with
            what is drawn of it; the gradient fit has a background, and so many rhythms, among its nuisances.
        depth_within_um: the laminar probe may lie so much higher or lower than is said. The posterior learns by how
            much along; the gradient fit takes the depth as known and is left out.

    Yields:
        Each estimator with its kind.

    Raises:
        ValueError: another kind, a duration or distance that is no positive number, an unknown depth where no laminar
            probe measures, or a campaign with nothing to train on.
    """
    learned = rows or (range(len(campaign) - test),)
    usable = campaign.usable[np.any([np.isin(campaign.usable, part) for part in learned], axis=0)]
    if not usable.size:
        raise ValueError(f"{campaign.path} has no usable simulation to train on ({campaign.summary()})")
    spectral = isinstance(study.features, SpectralFeatures)
    kinds = kinds or [kind for kind in KINDS if kind != "gradient" or (spectral and depth_within_um is None)]
    theta, sources = campaign.theta[usable], campaign.recordings(usable)
    if depth_within_um is not None and "gradient" in kinds:
        raise ValueError("the gradient fit takes the probe's depth as known; leave it out (--estimators cnn,npe)")
    depth = None if depth_within_um is None else UnknownDepth.of(study, depth_within_um, _COPIES * len(theta), seed)
    emulated = sources if study.view is not None else _observed(study, theta, sources)
    emulator = shipped_emulator(campaign, test, seed)
    emulator = emulator or untrained_emulator(study, emulated[:_LOOKED_AT], seed, progress)
    known = untrained_estimators(study.parameters, study.features, seed, progress, study.view, emulator)
    unknown = [k for k in kinds if k not in known]
    if unknown:
        raise ValueError(f"there is no estimator '{unknown[0]}'; choose among {', '.join(known)}")
    recordings = _observed(study, theta, sources, depth)
    if duration_s is not None and set(kinds) != {"gradient"}:
        if 1e3 * duration_s > sources[0].duration_ms and not emulator.channels:
            known["gradient"]().fit(theta, emulated)  # the emulator learns from the same rows as in a fit of its own
        lasting = of_duration(duration_s, theta, emulated, emulator, seed)
        recordings = lasting if emulated is not sources else _observed(study, theta, lasting, depth)
    if additions is not None:
        recordings = added(recordings, additions, seed, 1 if depth is not None else _COPIES)
    for kind in kinds:
        if kind == "gradient":
            estimator = known[kind]().fit(theta, emulated)
            if additions is not None and isinstance(estimator, GradientFit):
                estimator = estimator.with_nuisances(background=True, rhythms=additions.rhythms)
        else:
            estimator = known[kind]()
            assert isinstance(estimator, AmortisedEstimator)
            along = (depth.parameter,) if depth is not None and estimator.learns_along else ()
            taught = np.tile(theta, (len(recordings) // len(theta), 1))
            if depth is not None and along:
                taught = np.column_stack([taught, depth.drawn])
            estimator.fit(taught, recordings, along)
            if depth_within_um is not None:
                estimator.about["depth_within_um"] = depth_within_um
        if additions is not None:
            estimator.about["additions"] = additions.to_json()
        probe = getattr(study.forward_model, "probe", None)
        estimator.about |= {
            "probe": None if probe is None else probe.to_json(),
            "campaign": campaign.configuration,
            "trained_rows": [[part.start, part.stop] for part in learned],
        }
        yield kind, estimator


def _observed(
    study: Study, theta: np.ndarray, sources: Sequence[Recording], depth: UnknownDepth | None = None
) -> Sequence[Recording]:
    if depth is not None:
        n = len(theta)
        return ComputedRecordings(len(depth.drawn), lambda i: depth.observe(i, sources[i % n], theta[i % n]))
    if study.forward_model is None:
        return sources
    return ComputedRecordings(len(theta), lambda i: study.observe(sources[i], theta[i]))


@dataclass(frozen=True, eq=False)
class ComputedRecordings(Sequence[Recording]):
    """Recordings that are computed when they are asked for: thousands of long ones do not fit into memory."""

    n: int
    compute: Callable[[int], Recording]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:
        places = range(self.n)[i]
        return [self.compute(k) for k in places] if isinstance(places, range) else self.compute(places)


def of_duration(
    duration_s: float,
    theta: Float[np.ndarray, "simulations n_parameters"],
    sources: Sequence[Recording],
    emulator: SpectralEmulator,
    seed: int,
) -> Sequence[Recording]:
    """Simulations at theta of another length: cut from those there are, or drawn from a trained emulator of them.

    Raises ValueError for a duration that is not a positive number.
    """
    if not 0 < duration_s < np.inf:
        raise ValueError(f"there are no recordings of {duration_s:g} s; give a positive duration")
    first = sources[0]
    samples = round(duration_s * first.sampling_rate)
    if samples <= first.steady.shape[1]:
        return ComputedRecordings(len(theta), lambda i: cut(sources[i], samples))
    lasting = copy(emulator)
    lasting.duration_ms = 1e3 * duration_s + lasting.transient_ms
    return ComputedRecordings(len(theta), lambda i: lasting.simulate(theta[i], np.random.default_rng([seed, i])))


def added(
    recordings: Sequence[Recording], additions: Additions, seed: int, copies: int = _COPIES
) -> Sequence[Recording]:
    """All recordings, several times one after the other, each time with other additions."""
    n = len(recordings)

    def compute(i: int) -> Recording:
        return additions(recordings[i % n], np.random.default_rng([seed, 16, i]))

    return ComputedRecordings(copies * n, compute)


def cut(recording: Recording, samples: int) -> Recording:
    """Its transient and the first samples after that."""
    return recording.with_values(recording.values[:, : recording.transient + samples])


def untrained_emulator(study: Study, some: Sequence[Recording], seed: int, progress: bool) -> SpectralEmulator:
    """An emulator of the spectra of recordings like ``some``, in bands that fit them."""
    first = some[0]
    return SpectralEmulator(
        study.parameters,
        bands_for(some, study.features),
        seed=seed,
        duration_ms=1e3 * first.values.shape[1] / first.sampling_rate,
        transient_ms=1e3 * first.transient / first.sampling_rate,
        progress=progress,
    )


def bands_for(some: Sequence[Recording], features: Features) -> Bands:
    """A hundred bands over the frequencies of the features, or as many as recordings of this length can fill.

    They are of one width, or, where that makes the recordings likelier, each wider than the one below it: the rhythms
    of many circuits are slow and sharp, and their spectra have long tails.
    """
    if not isinstance(features, SpectralFeatures):
        return Bands()
    first = some[0]
    low, high = features.band
    widest = min(high, first.sampling_rate / 2)
    fillable = _SAMPLES * len(first.channels) / first.duration_ms * 1e3
    width = max(widest / (_BANDS + 1), fillable)
    top = widest - width / 2
    start = max(width / 2, low)
    even = Bands(start, max(start + width, top), width)
    if width <= fillable:
        return even
    widening = Bands.widened(max(fillable / 2, low), top, fillable, _BANDS)
    gains = [_log_density(r, even) - _log_density(r, widening) for r in some]
    return widening if np.nanmean(gains) > _WORTH else even


def _log_density(recording: Recording, bands: Bands) -> Float[np.ndarray, " frequencies"]:
    """Log of a recording's mean power in the band around each frequency, over channels; NaN outside.

    Its mean is minus the log likelihood (Whittle) of the recording, were spectra even within bands.
    """
    found = band_transform(recording, bands)
    power = found.averaged((np.abs(found.values) ** 2).T)[found.band]
    everywhere = np.full(recording.steady.shape[1] // 2 + 1, np.nan)
    places = np.rint(found.frequencies * recording.duration_ms / 1e3).astype(int)
    everywhere[places] = np.log(power.clip(min=np.finfo(float).tiny)).mean(1)
    return everywhere


def untrained_estimators(
    parameters: ParameterSpace,
    features: Features | None = None,
    seed: int = 0,
    progress: bool = False,
    view: LinearView | FollowingView | None = None,
    emulator: SpectralEmulator | None = None,
) -> dict[str, Callable[[], BaseEstimator]]:
    """Untrained estimators by name. The published CNN keeps its own features.

    view: what the gradient fit sees its sources through; emulator: one that is trained already, for its model.
    """
    seen = features or SpectralFeatures()

    def gradient() -> GradientFit:
        if not isinstance(seen, SpectralFeatures):
            raise ValueError("the gradient fit compares spectra; leave 'gradient' out where features are others")
        untrained = SpectralEmulator(parameters, seed=seed, progress=progress)
        model = SpectralModel(emulator or untrained, view, gain=seen.relative)
        return GradientFit(model, seen.shown, Descent(seed=seed, screened=_SCREENED if len(parameters) > _FEW else 0))

    return {
        "cnn": lambda: CNNRegressor(parameters, seen, seed=seed, progress=progress),
        "npe": lambda: NeuralPosterior(parameters, seen, seed=seed, progress=progress),
        "gradient": gradient,
        "nearest": lambda: NearestSimulations(parameters, seen, seed=seed),
        "stasik-cnn": lambda: stasik_regressor(parameters, seed=seed, progress=progress),
    }


def spectral_study(
    campaign: Campaign,
    simulator: Simulator | None = None,
    probe: Probe | None = None,
    test: int = 0,
    relative: bool = False,
    segment_ms: float | None = None,
    band_hz: tuple[float, float] | None = None,
    sampling_rate: float | None = None,
    depth_within_um: float | None = None,
) -> Study:
    """The study of a campaign by its spectra, in the segments given or in those that tell most of the parameters.

    sampling_rate: Hz of the recordings it is for, that of the simulations by default; depth_within_um: as of ``train``;
    spectra are chosen through the probe at many depths then. The last ``test`` simulations
    are not looked at. Raises ValueError as ``study_of`` and ``SpectralFeatures``, and for a rate above the simulated.
    """
    study = study_of(campaign, simulator, probe)
    rate = study.features.sampling_rate if sampling_rate is None else sampling_rate
    if rate > study.features.sampling_rate * (1 + SAME_RATE):
        raise ValueError(
            f"the simulations have {study.features.sampling_rate:g} Hz; estimators for {rate:g} Hz need faster ones"
        )
    if campaign.path.parent == SHIPPED and segment_ms is None:
        segment_ms = SpectralFeatures().segment_ms
    rows, _ = split_rows(campaign, test)
    rows = rows[:SIMULATIONS_TO_CHOOSE_WITH]
    depth = None if depth_within_um is None else UnknownDepth.of(study, depth_within_um, len(rows), 0)
    theta = campaign.theta[rows]
    recordings = _observed(study, theta, campaign.recordings(rows), depth)[:]
    unit_theta = campaign.parameters.to_unit(theta)
    slower = [resampled(r, rate) for r in recordings]
    return replace(study, features=chosen_spectra(unit_theta, slower, relative, band_hz, segment_ms))
