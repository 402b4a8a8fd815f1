"""A study: which circuit, how it is measured, and what estimators see of that."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from simulators.campaigns.store import Campaign
from simulators.fields.following import FollowingView
from simulators.fields.linear import LinearView
from simulators.fields.probes import Probe
from simulators.interface import ForwardModel, Observed, ParameterSpace, Simulator
from simulators.recording import Recording
from simulators.registry import as_described, rebuilt


@dataclass(frozen=True)
class Study:
    """What training, inference and evaluation take, whatever the circuit.

    forward_model: what an instrument sees of the simulator's recordings; None takes them as they are.

    >>> from simulators.function import simulator
    >>> @simulator(parameters={"sd": (0.5, 2.0, "mV")}, sampling_rate=1000.0, unit="mV", channels=("V",))
    ... def noise(sd, rng):
    ...     return rng.normal(0, sd, (1, 500))
    >>> study = Study(noise, features=SpectralFeatures(segment_ms=200.0))
    >>> study.parameters.names
    ('sd',)
    >>> study.features(study.observed.simulate(np.array([1.0]), np.random.default_rng(0))).shape
    (1, 100)
    """

    simulator: Simulator
    forward_model: ForwardModel | None = None
    features: Features = field(default_factory=SpectralFeatures)

    @property
    def parameters(self) -> ParameterSpace:
        """The parameter space of the simulator."""
        return self.simulator.parameters

    @property
    def observed(self) -> Simulator:
        """The simulator as the instrument sees it."""
        return self.simulator if self.forward_model is None else Observed(self.simulator, self.forward_model)

    @property
    def view(self) -> LinearView | FollowingView | None:
        """The instrument as sums over the simulator's channels, where it is that; None for any other, or none."""
        view = getattr(self.forward_model, "view", None)
        return view if isinstance(view, (LinearView, FollowingView)) else None

    def observe(self, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """What the instrument sees of a recording simulated at theta."""
        return source if self.forward_model is None else self.forward_model.observe(source, theta)

    def recordings(
        self, campaign: Campaign, rows: Integer[np.ndarray, " rows"]
    ) -> tuple[Float[np.ndarray, "rows n_parameters"], list[Recording]]:
        """Thetas of some rows of a campaign, and their recordings as the instrument sees them."""
        theta = campaign.theta[rows]
        return theta, [self.observe(r, t) for r, t in zip(campaign.recordings(rows), theta, strict=True)]


@dataclass(frozen=True)
class NotAtHand:
    """In place of a simulator whose code no installed package announces: its campaign is there, to learn from."""

    parameters: ParameterSpace
    name: str

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Raises ValueError: a campaign says what made it, but never brings code that is run."""
        raise ValueError(f"simulating needs the code of {self.name}; give it, such as --simulator my_model.py:name")


def study_of(
    campaign: Campaign,
    simulator: Simulator | None = None,
    probe: Probe | None = None,
    features: Features | None = None,
) -> Study:
    """The study that a campaign was made for.

    Arguments:
        simulator: what made it, where no installed package announces that.
        probe: where one measures; None for what the simulator takes by default, its recordings themselves if it has
            no forward model.
        features: spectra in segments of 100 ms unless told otherwise; ``chosen_spectra`` finds longer ones.

    Raises:
        ValueError: another simulator than the campaign's, or a probe for one that does not say what a probe sees.
    """
    description = campaign.configuration.get("simulator", {})
    name = str(description.get("class"))
    if simulator is not None and simulator.parameters.names != campaign.parameters.names:
        raise ValueError(
            f"{campaign.path} was made by {name} with parameters {', '.join(campaign.parameters.names)}; "
            f"the simulator given has {', '.join(simulator.parameters.names)}"
        )
    if simulator is not None:
        try:
            simulator = as_described(simulator, description)
        except ValueError as error:
            raise ValueError(f"{campaign.path}: {error}") from error
    made_by = simulator or rebuilt(description) or NotAtHand(campaign.parameters, name)
    forward_model = forward_model_of(made_by, probe, name)
    study = Study(made_by, forward_model)
    if features is None:
        if not campaign.usable.size:
            raise ValueError(f"{campaign.path} has no usable simulation ({campaign.summary()})")
        _, (first,) = study.recordings(campaign, campaign.usable[:1])
        features = SpectralFeatures(first.sampling_rate)
    return replace(study, features=features)


def forward_model_of(simulator: Simulator, probe: Probe | None, name: str = "") -> ForwardModel | None:
    """What a probe sees of a simulator. Raises ValueError for a probe where the simulator does not say what it sees."""
    make: Any = getattr(simulator, "forward_model", None)
    if make is not None:
        return make(probe)
    if probe is None:
        return None
    raise ValueError(
        f"{name or type(simulator).__name__} does not say what a probe sees of it: leave --probe out, and its "
        f"recordings are taken as they are"
    )


def split_rows(campaign: Campaign, test: int) -> tuple[Integer[np.ndarray, " rows"], Integer[np.ndarray, " tested"]]:
    """Usable rows to train on and, among the last ``test`` rows of the campaign, to test on."""
    usable = campaign.usable
    first_test = len(campaign) - test
    return usable[usable < first_test], usable[usable >= first_test]
