"""The main job's data: shipped reference campaigns of the Brunel network, and estimators trained on a campaign."""

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float

from inference.features import SpectralFeatures
from inference.learned import LearnedEstimator, load_estimator
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.campaign_store import Campaign
from simulators.fields.probes import LaminarProbe
from simulators.interface import ForwardModel, ParameterSpace
from simulators.recording import Recording

SHIPPED = Path(str(files("inference") / "shipped"))
REFERENCE_SIMULATIONS = 2500
REFERENCE_SEEDS = {"ai": 1, "full": 2}
TEST_SIMULATIONS = 400
"""The last rows of a reference campaign are neither trained on nor chosen by; they are for testing."""


def range_of(name: str) -> ParameterSpace:
    """The parameter space "ai" or "full". Raises ValueError for another name."""
    if name not in RANGES:
        raise ValueError(f"there is no range '{name}'; choose one of {', '.join(RANGES)}")
    return RANGES[name]


def reference_campaign(name: str) -> Campaign:
    """The shipped campaign over the range "ai" or "full"."""
    range_of(name)
    return Campaign(SHIPPED / f"brunel_{name}.zarr")


def shipped_estimators(name: str) -> list[LearnedEstimator]:
    """The shipped CNN and neural posterior for the poster's probe over the range "ai" or "full"."""
    range_of(name)
    return [load_estimator(SHIPPED / f"brunel_{name}_{kind}.safetensors") for kind in ("cnn", "npe")]


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
    probe: LaminarProbe,
    features: SpectralFeatures,
    kinds: Sequence[str] = ("cnn", "npe"),
    seed: int = 0,
    test: int = TEST_SIMULATIONS,
    progress: bool = True,
) -> Iterator[tuple[str, LearnedEstimator]]:
    """Train estimators on the LFP that ``probe`` sees of a campaign, all but its last ``test`` rows, one after another.

    Yields each with its kind: "cnn", "npe" or "poster-cnn" (which has the poster's features). Raises ValueError for
    another kind, or a campaign with nothing to train on.
    """
    from simulators.fields.kernels import KernelLFP

    known = makers(campaign.parameters, features, seed, progress)
    unknown = [k for k in kinds if k not in known]
    if unknown:
        raise ValueError(f"there is no estimator '{unknown[0]}'; choose among {', '.join(known)}")
    rows, _ = split_rows(campaign, test)
    if not rows.size:
        raise ValueError(f"{campaign.path} has no usable simulation to train on ({campaign.summary()})")
    network = campaign_network(campaign)
    theta, recordings = observed(campaign, KernelLFP(probe, network, parameters=campaign.parameters), rows)
    for kind in kinds:
        estimator = known[kind]().fit(theta, recordings)
        estimator.about |= {"probe": probe.to_json(), "campaign": campaign.configuration}
        yield kind, estimator


def makers(
    parameters: ParameterSpace, features: SpectralFeatures | None = None, seed: int = 0, progress: bool = False
) -> dict[str, Callable[[], LearnedEstimator]]:
    """Untrained estimators by name. The published CNN keeps its own features."""
    from inference.cnn import CNNRegressor, poster_regressor
    from inference.posterior import NeuralPosterior

    features = features or SpectralFeatures()
    return {
        "cnn": lambda: CNNRegressor(parameters, features, seed=seed, progress=progress),
        "npe": lambda: NeuralPosterior(parameters, features, seed=seed, progress=progress),
        "poster-cnn": lambda: poster_regressor(parameters, seed=seed, progress=progress),
    }


def campaign_network(campaign: Campaign) -> BrunelNetwork:
    """The network a campaign simulated. Raises ValueError if it was another model."""
    simulator = campaign.configuration.get("simulator", {})
    network = dict(simulator.get("network", {}))
    if network.pop("class", None) != "BrunelNetwork":
        raise ValueError(f"{campaign.path} was made by {simulator.get('class')}, not by a Brunel network")
    return BrunelNetwork(**network)
