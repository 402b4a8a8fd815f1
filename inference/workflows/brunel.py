"""The main job's data: shipped reference campaigns of the Brunel network, and estimators trained on a campaign."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.estimators.base import BaseEstimator
from inference.estimators.cnn import CNNRegressor, stasik_regressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.campaigns.store import Campaign
from simulators.fields.kernels import KernelSignal
from simulators.fields.linear import LinearView
from simulators.fields.probes import Probe
from simulators.interface import ForwardModel, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

SHIPPED = Path(str(files("inference") / "shipped"))
REFERENCE_SIMULATIONS = 2500
REFERENCE_SEEDS = {"ai": 1, "full": 2}
TEST_SIMULATIONS = 400
"""The last rows of a reference campaign are neither trained on nor chosen by; they are for testing."""


KINDS = ("cnn", "npe", "gradient")


def range_of(name: str) -> ParameterSpace:
    """The parameter space "ai" or "full". Raises ValueError for another name."""
    if name not in RANGES:
        raise ValueError(f"there is no range '{name}'; choose one of {', '.join(RANGES)}")
    return RANGES[name]


def reference_campaign(name: str) -> Campaign:
    """The shipped campaign over the range "ai" or "full"."""
    range_of(name)
    return Campaign(SHIPPED / f"brunel_{name}.zarr")


def shipped_estimators(name: str) -> list[BaseEstimator]:
    """The shipped CNN, neural posterior and gradient fit for the poster's probe over the range "ai" or "full"."""
    range_of(name)
    return [load_estimator(SHIPPED / f"brunel_{name}_{kind}.safetensors") for kind in KINDS]


def observed(
    campaign: Campaign, forward_model: ForwardModel, rows: np.ndarray
) -> tuple[Float[np.ndarray, "rows n_parameters"], list[Recording]]:
    """Thetas of some rows of a campaign, and their recordings through a forward model."""
    theta = campaign.theta[rows]
    return theta, [forward_model.observe(r, t) for r, t in zip(campaign.recordings(rows), theta, strict=True)]


def split_rows(campaign: Campaign, test: int) -> tuple[np.ndarray, np.ndarray]:
    """Usable rows to train on and, among the last ``test`` rows of the campaign, to test on."""
    usable = campaign.usable
    first_test = len(campaign) - test
    return usable[usable < first_test], usable[usable >= first_test]


def train_for_probe(
    campaign: Campaign,
    probe: Probe,
    features: SpectralFeatures,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    test: int = TEST_SIMULATIONS,
    progress: bool = True,
    duration_s: float | None = None,
) -> Iterator[tuple[str, BaseEstimator]]:
    """Train estimators on what ``probe`` sees of a campaign, all but its last ``test`` rows, one after another.

    duration_s: length of the recordings they are for, that of the simulations by default. Shorter ones are cut from
        the simulations; longer ones the spectral emulator draws. The gradient fit answers for any length as it is.

    Yields each with its kind: "cnn", "npe", "gradient", "nearest" or "stasik-cnn" (which has the poster's features).
    Raises ValueError for another kind, a duration that is no positive number, or a campaign with nothing to train on.
    """
    rows, _ = split_rows(campaign, test)
    if not rows.size:
        raise ValueError(f"{campaign.path} has no usable simulation to train on ({campaign.summary()})")
    forward_model = KernelSignal(probe, campaign_network(campaign), parameters=campaign.parameters)
    theta, sources = campaign.theta[rows], campaign.recordings(rows)
    emulator = _emulator(campaign, test, seed, progress)
    known = untrained_estimators(campaign.parameters, features, seed, progress, forward_model.view, emulator)
    unknown = [k for k in kinds if k not in known]
    if unknown:
        raise ValueError(f"there is no estimator '{unknown[0]}'; choose among {', '.join(known)}")
    lasting: Sequence[Recording] = sources
    if duration_s is not None and set(kinds) != {"gradient"}:
        if 1e3 * duration_s > sources[0].duration_ms and not emulator.channels:
            known["gradient"]().fit(theta, sources)  # the emulator learns from the same rows as in a fit of its own
        lasting = of_duration(duration_s, theta, sources, emulator, seed)
    recordings = _Computed(len(theta), lambda i: forward_model.observe(lasting[i], theta[i]))
    for kind in kinds:
        estimator = known[kind]().fit(theta, sources if kind == "gradient" else recordings)
        estimator.about |= {"probe": probe.to_json(), "campaign": campaign.configuration}
        yield kind, estimator


@dataclass(frozen=True, eq=False)
class _Computed(Sequence[Recording]):
    """Recordings that are computed when they are asked for: thousands of long ones do not fit into memory."""

    n: int
    compute: Callable[[int], Recording]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:
        return self.compute(range(self.n)[i])


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
        return [r.with_values(r.values[:, : r.transient + samples]) for r in sources]
    lasting = copy(emulator)
    lasting.duration_ms = 1e3 * duration_s + lasting.transient_ms
    return _Computed(len(theta), lambda i: lasting.simulate(theta[i], np.random.default_rng([seed, i])))


def untrained_estimators(
    parameters: ParameterSpace,
    features: SpectralFeatures | None = None,
    seed: int = 0,
    progress: bool = False,
    view: LinearView | None = None,
    emulator: SpectralEmulator | None = None,
) -> dict[str, Callable[[], BaseEstimator]]:
    """Untrained estimators by name. The published CNN keeps its own features.

    view: what the gradient fit sees its sources through; emulator: one that is trained already, for its model.
    """
    features = features or SpectralFeatures()

    def gradient() -> GradientFit:
        untrained = SpectralEmulator(parameters, seed=seed, progress=progress)
        return GradientFit(
            SpectralModel(emulator or untrained, view, gain=features.relative), features, Descent(seed=seed)
        )

    return {
        "cnn": lambda: CNNRegressor(parameters, features, seed=seed, progress=progress),
        "npe": lambda: NeuralPosterior(parameters, features, seed=seed, progress=progress),
        "gradient": gradient,
        "nearest": lambda: NearestSimulations(parameters, features, seed=seed),
        "stasik-cnn": lambda: stasik_regressor(parameters, seed=seed, progress=progress),
    }


def _emulator(campaign: Campaign, test: int, seed: int, progress: bool) -> SpectralEmulator:
    """The shipped emulator, if it is what training on these rows of the campaign would give; else an untrained one."""
    for name in REFERENCE_SEEDS:
        path = SHIPPED / f"brunel_{name}_gradient.safetensors"
        same = campaign.path == SHIPPED / f"brunel_{name}.zarr" and test == TEST_SIMULATIONS and seed == 0
        if same and path.is_file():
            shipped = load_estimator(path)
            assert isinstance(shipped, GradientFit)
            return shipped.model.emulator
    return SpectralEmulator(campaign.parameters, seed=seed, progress=progress)


def campaign_network(campaign: Campaign) -> BrunelNetwork:
    """The network a campaign simulated. Raises ValueError if it was another model."""
    simulator = campaign.configuration.get("simulator", {})
    network = {key: value for key, value in simulator.get("network", {}).items() if key != "module"}
    if network.pop("class", None) != "BrunelNetwork":
        raise ValueError(f"{campaign.path} was made by {simulator.get('class')}, not by a Brunel network")
    return BrunelNetwork(**network)
