"""The neural posterior: an ensemble of conditional densities given spectra (NPE), with bounded sampling."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import brentq
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.amortised import AmortisedEstimator
from inference.estimators.base import refuse_known
from inference.estimators.gaussian_mixture import GaussianMixture
from inference.estimators.sbi_flows import SbiFlow
from inference.estimators.spectral_networks import SpectralCNN
from inference.estimators.training_loop import Split, stored_state, train
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import MOST_DRAWS
from simulators.interface import ParameterSpace
from surrogates.headers import integer, no_larger_than_file, text
from surrogates.threads import one_thread

_log = logging.getLogger(__name__)
_MAX_ROUNDS = 20  # of sampling: an observation that puts less than 1/20 of the posterior in the box is cut short
_SURPLUS = 1.15  # of draws: a second round costs as much as the first, and few posteriors have more outside the box
_LOW_ACCEPTANCE = 0.3  # of what is usual for simulations
_WIDTHS = (0.5, 3.0)  # of the densities' normals, relative to what was learnt
_SHRINKAGE = 1.2, 0.05  # of mixtures, of flows
_RANK_DRAWS = 50  # a density and held-out simulation, to rank its parameters among
_MASS_DRAWS = 4000  # a density, to tell how much of it lies inside the box
_MOST_ROWS = 10_000  # simulations; of more, fewer epochs teach as much
_BUILD = {
    "hidden_features": (50, 10_000),
    "transforms": (5, 100),
    "embedding": (16, 10_000),
    "draws": (2000, MOST_DRAWS),
    "components": (4, 1000),
    "width": (64, 10_000),
}
"""What a file's settings hold to build the densities: what those are that an older file lacks, and the most."""


def box_prior(parameters: ParameterSpace) -> "torch.distributions.Distribution":
    """The uniform prior of a parameter space in the unit cube, as sbi wants it."""
    from sbi.utils import BoxUniform

    return BoxUniform(torch.zeros(len(parameters)), torch.ones(len(parameters)))


def _negative_log_prob(density: GaussianMixture | SbiFlow, x: Tensor, u: Tensor) -> Tensor:
    return -density.log_prob(u, x)


def _root_within(excess: Callable[[float], float], low: float, high: float) -> float:
    """The width whose logarithm lies between these and leaves no excess; the nearest end where there is none."""
    if excess(low) < 0 or excess(high) > 0:
        return float(np.exp(low if excess(low) < 0 else high))
    return float(np.exp(brentq(excess, low, high, xtol=0.01)))


@dataclass(eq=False)
class NeuralPosterior(AmortisedEstimator):
    """Amortised posterior p(theta | spectra): equal mixture of conditional densities, each with a CNN of its own.

    density: "gaussian mixture" of ``components`` normals, whose draws cost nothing, or a flow of sbi by its name there
    ("nsf", "maf", "zuko_nsf" ...; see SBI_DENSITIES) of ``transforms`` steps with ``hidden_features`` units given an
    ``embedding`` of the spectra. width: of the CNN; shrinkage: of all weights, as ``train`` has it, 1.2 by default and
    .05 for flows, which more of it spoils. epochs: for up to 10,000 simulations, fewer for more. bounded: of a mixture,
    whether its normals are of the probit of the unit cube, for data that leave some of many parameters wide open.

    Members whose validation log-probability falls more than ``tolerance`` nats behind the best are left out: a flow
    that lost a parameter does not come back. Trained densities are too sure of themselves where simulations are few,
    and their mixture can be too unsure: in the end all get wider or narrower by the one factor with which intervals
    cover the simulations that were held out as often as they say. What lies outside the box is cut off.
    """

    kind: ClassVar[str] = "npe"
    learns_along: ClassVar[bool] = True

    features: Features = field(default_factory=SpectralFeatures)
    density: str = "gaussian mixture"
    epochs: int = 75
    batch: int = 100
    learning_rate: float = 3e-3
    shrinkage: float | None = None
    components: int = 8
    bounded: bool = False
    width: int = 192
    hidden_features: int = 50
    transforms: int = 5
    embedding: int = 16
    dropout: float = 0.03
    draws: int = 2000
    tolerance: float = 1.0

    def _learn(self, splits: list[Split]) -> None:
        densities, scores = [], []
        flow = self.density != "gaussian mixture"
        shrinkage = _SHRINKAGE[flow] if self.shrinkage is None else self.shrinkage
        for member, data in enumerate(splits):
            torch.manual_seed(data.seed)
            density = self._untrained(data.x.shape[1], data.x.shape[2])
            density.learn_scale(data.x)
            trained = train(
                density,
                partial(_negative_log_prob, density),
                data,
                epochs=max(1, round(self.epochs * min(1.0, _MOST_ROWS / len(data.x)))),
                batch=self.batch,
                learning_rate=self.learning_rate,
                shrinkage=shrinkage,
                label=f"posterior {member + 1} of {self.members}" if self.progress else None,
            )
            densities.append(density)
            scores.append(-trained.loss)
        kept = [i for i, score in enumerate(scores) if score > max(scores) - self.tolerance]
        if len(kept) < len(densities):
            _log.warning("%d of %d densities fell behind and are left out", len(scores) - len(kept), len(scores))
        self._densities = [densities[i] for i in kept]
        self._widen(splits[0].x_validation, splits[0].u_validation)
        self.about["validation_log_prob"] = scores

    def learn_more(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        features: Float[np.ndarray, "simulations channels values"],
        epochs: int = 20,
        learning_rate: float = 3e-4,
    ) -> Self:
        """Go on learning, slowly, from simulations of a better simulator, too few to begin with.

        A share of them chooses how far; what was learned before is not shrunk. theta: with what is learned ``along`` in
        further columns. Raises ValueError as ``fit_features``.
        """
        x, u = self._tensors(theta, features)
        with one_thread():
            for density, data in zip(self._densities, self._splits(x, u), strict=False):
                loss = partial(_negative_log_prob, density)
                before = {k: v.clone() for k, v in density.state_dict().items()}
                with torch.no_grad():
                    first = float(loss(data.x_validation, data.u_validation).mean())
                trained = train(
                    density, loss, data, epochs=epochs, batch=self.batch, learning_rate=learning_rate, shrinkage=0.0
                )
                if trained.loss > first:
                    density.load_state_dict(before)
        return self

    def widen_to(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        features: Float[np.ndarray, "simulations channels values"],
    ) -> Self:
        """Make all densities wider or narrower, so that intervals cover these simulations as often as they say.

        theta: with what is learned ``along`` in further columns. Raises ValueError as ``fit_features``.
        """
        x, u = self._tensors(theta, features)
        with one_thread():
            self._widen(x, u)
        return self

    def _splits(self, x: Tensor, u: Tensor) -> Iterator[Split]:
        """The same simulations held out for every member: what the mixture says of them sets its width."""
        first = next(super()._splits(x, u))
        return (first._replace(seed=first.seed + member) for member in range(self.members))

    def _widen(self, x: Tensor, u: Tensor) -> None:
        """Give all densities the width of their normals with which ranks of u among draws have a uniform's variance.

        One for all parameters, or, of bounded mixtures, one for each.
        """

        def excess(log_width: float, parameter: int | None = None) -> float:
            self._set_width(np.exp(log_width), parameter)
            draws, inside = self._ranked_draws(x)
            n = inside.sum(0)
            ranks = (inside & (draws < u)).sum(0) / n.clamp(min=1)
            # Ranks among n have a variance that is larger by 2 / n. Without a draw in the box it is far too wide.
            each = torch.where(n > 0, 12 * (ranks - 0.5).square() - 1 - 2 / n, -1.0)
            return float((each if parameter is None else each[:, parameter]).mean())

        widths = [_root_within(excess, *np.log(_WIDTHS))]
        self._set_width(widths[0])
        if self.bounded and self.density == "gaussian mixture":
            # Draws of a parameter do not depend on the widths of others. What is told well and what hardly err apart.
            widths = [_root_within(partial(excess, parameter=k), *np.log(_WIDTHS)) for k in range(u.shape[1])]
            for k, width in enumerate(widths):
                self._set_width(width, k)
        self.about["width"] = float(np.exp(np.mean(np.log(widths))))
        self.about["usually_inside"] = float(self._ranked_draws(x)[1].float().mean((0, 2)).median())

    def _ranked_draws(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draws given each x, with the same noise at every width, and which of them lie inside the unit cube."""
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            draws = torch.cat([density.draws(x, _RANK_DRAWS) for density in self._densities])
        return draws, self._inside(draws)[..., None]

    def _inside(self, u: Float[Tensor, "*batch learned"]) -> Bool[Tensor, "*batch"]:
        """Whether parameters lie in their box; what is learned along may lie anywhere."""
        own = u[..., : u.shape[-1] - len(self.along)]
        return ((own >= 0) & (own <= 1)).all(-1)

    def _set_width(self, width: float, parameter: int | None = None) -> None:
        """Of all normals, or of one parameter's."""
        for density in self._densities:
            (density.width if parameter is None else density.width[parameter]).fill_(width)

    def _untrained(self, channels: int, frequencies: int) -> GaussianMixture | SbiFlow:
        n = len(self._learned)
        if self.density == "gaussian mixture":
            return GaussianMixture(
                n, channels, frequencies, self.components, self.width, self.dropout, self._alike, self.bounded
            )
        embedding = SpectralCNN(channels, frequencies, self.embedding, self.width, self.dropout, self._alike)
        return SbiFlow(self.density, n, channels, frequencies, embedding, self.hidden_features, self.transforms)

    def _answer(self, x: Float[Tensor, "1 channels frequencies"]) -> Estimate:
        space = ParameterSpace((*self.parameters, *self.along))
        samples, acceptance = self._sample(x, self.draws)
        # Where many parameters are hardly told, most of every posterior lies outside.
        cautions, trusted = [], acceptance >= _LOW_ACCEPTANCE * self.about.get("usually_inside", 1.0)
        if not trusted:
            cautions.append(
                f"{100 * (1 - acceptance):.0f} % of the posterior lies outside the parameter space: no parameters in "
                f"it explain this recording well; do not trust the estimate"
            )
        if len(samples) < self.draws:
            cautions.append(f"sampling was cut short at {len(samples)} of {self.draws} draws")
        if not len(samples):
            cautions.append("no draw fell into the parameter space: the samples are its centre, not a posterior")
            samples = torch.full((1, len(space)), 0.5)
        draws = space.from_unit(samples.numpy().astype(float))
        return Estimate(space, draws.mean(0), draws, "neural posterior", tuple(cautions), trusted)

    def _sample(self, x: Tensor, draws: int) -> tuple[Float[Tensor, "accepted n_parameters"], float]:
        """Draws inside the unit cube, as many of each density, and the share of all draws that fell inside."""
        inside, accepted, tried = [], 0, 0
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            until = np.rint(draws * np.cumsum(self._shares(x))).astype(int)
            for density, wanted in zip(self._densities, np.diff(until, prepend=0).tolist(), strict=True):
                got = 0
                for _ in range(_MAX_ROUNDS if wanted else 0):
                    u = self._drawn(density, x, round(_SURPLUS * wanted))
                    tried += len(u)
                    u = u[self._inside(u)]
                    accepted += len(u)
                    u = u[: wanted - got]
                    got += len(u)
                    inside.append(u)
                    if got == wanted:
                        break
        return torch.cat(inside), accepted / tried

    def _shares(self, x: Tensor) -> Float[np.ndarray, " densities"]:
        """Of each density in the mixture of all: the same, but where parameters are known, to which some fit better."""
        if not self.known:
            return np.full(len(self._densities), 1 / len(self._densities))
        _, at, value = self._known_places()
        logs = [d.log_prob_known(x, at, value) for d in self._densities if isinstance(d, GaussianMixture)]
        return torch.softmax(torch.stack(logs), 0).numpy()

    def _drawn(self, density: GaussianMixture | SbiFlow, x: Tensor, n: int) -> Float[Tensor, "n n_parameters"]:
        if not self.known:
            return density.draws(x, n)[:, 0]
        assert isinstance(density, GaussianMixture)
        _, at, value = self._known_places()
        return density.draws_given(x, n, at, value)

    def given(self, known: Mapping[str, float]) -> Self:
        if self.density != "gaussian mixture":
            raise ValueError(f"a posterior by '{self.density}' cannot take known values; take the gradient fit or cnn")
        return super().given(known)

    def log_prob(
        self, theta: Float[np.ndarray, "thetas n_parameters"], x: Float[Tensor, "1 channels frequencies"]
    ) -> Float[np.ndarray, " thetas"]:
        """Log densities in the unit cube, given one spectrum: they add up to 1 over the box.

        theta: with the values of what was learned ``along``. How much of a density lies inside is counted among draws,
        which is right to within a percent or so. Raises ValueError where parameters are known.
        """
        refuse_known(self.known)
        u = torch.as_tensor(self._learned.to_unit(theta), dtype=torch.float32)
        rows = x.expand(len(u), *x.shape[1:])
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            draws = [density.draws(x, _MASS_DRAWS)[:, 0] for density in self._densities]
            mass = [self._inside(d).float().mean().clamp(min=1 / _MASS_DRAWS) for d in draws]
            each = [d.log_prob(u, rows) - m.log() for d, m in zip(self._densities, mass, strict=True)]
        mixed = torch.logsumexp(torch.stack(each), 0) - np.log(len(each))
        outside = ~self._inside(u)
        return mixed.masked_fill(outside, -torch.inf).numpy().astype(float)

    def direct_posteriors(self) -> list[Any]:
        """The members as sbi ``DirectPosterior`` objects over the unit cube, for sbi's own tools.

        Raises ValueError for the mixture of normals, which is none of sbi's densities.
        """
        from sbi.inference.posteriors import DirectPosterior

        flows = [density.flow for density in self._densities if isinstance(density, SbiFlow)]
        if not flows:
            raise ValueError(
                "a Gaussian mixture is no density of sbi; train one with density='nsf' or another of sbi's"
            )
        return [DirectPosterior(flow, box_prior(self._learned)) for flow in flows]

    def _settings(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {k: v for i, density in enumerate(self._densities) for k, v in stored_state(density, f"{i}.").items()}
        settings = {"flows": len(self._densities), "frequencies": len(self.features.axis.values)}
        return settings | {"density": self.density, "bounded": self.bounded} | {
            name: getattr(self, name) for name in _BUILD
        }, tensors

    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        for name, (default, most) in _BUILD.items():
            setattr(self, name, integer({name: default} | settings, name, 1, most))
        values = len(self.features.axis.values)
        integer(settings, "frequencies", values, values)
        self.density = text({"density": "nsf"} | settings, "density")
        self.bounded = settings.get("bounded", False)
        if not isinstance(self.bounded, bool):
            raise ValueError(f"bounded is {self.bounded!r:.80}; expected true or false")
        flow, members = self.density != "gaussian mixture", integer(settings, "flows", 1, 1000)
        # sbi builds nothing on the device "meta": that a density fits into the file is found out before.
        no_larger_than_file(
            tensors,
            self.density,
            (members, self.width if "width" in settings else 1, len(self._rows), values),
            (members, self.width, self.width) if "width" in settings else (1,),
            (members, self.transforms, self.hidden_features, self.hidden_features) if flow else (1,),
            (members, self.embedding, self.width + self.transforms * self.hidden_features) if flow else (1,),
            (1,) if flow else (members, self.components, self.width),
        )
        first = "" if "density" in settings else "flow."  # older files hold sbi's flows as they are
        self._densities = []
        for i in range(members):
            density = self._untrained(len(self._rows), values)
            own = {first + k.removeprefix(f"{i}."): v for k, v in tensors.items() if k.startswith(f"{i}.")}
            if isinstance(density, GaussianMixture) and own["width"].numel() == 1:  # older files have one for all
                own["width"] = own["width"].reshape(()).expand(density.width.shape)
            for name, built in density.state_dict().items():
                # Which inputs a step takes, in some order, follows from the settings; other indices could lie outside.
                expected, stored = (tensor.flatten().sort().values for tensor in (built, own[name]))
                if not built.is_floating_point() and not torch.equal(expected, stored):
                    raise ValueError(f"{i}.{name} does not hold the indices of such a density")
            density.load_state_dict(own)
            self._densities.append(density.eval())
