"""The neural posterior: an ensemble of normalising flows given spectra (sbi's NPE), with bounded sampling."""

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from nflows.distributions.normal import StandardNormal
from scipy.optimize import brentq
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.amortised import AmortisedEstimator
from inference.estimators.spectral_networks import SpectralCNN
from inference.estimators.training_loop import Split, stored_state, train
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import MOST_DRAWS
from simulators.interface import ParameterSpace
from surrogates.headers import no_larger_than_file, whole

# A deprecation inside nflows, which sbi pins; it says nothing to a user.
warnings.filterwarnings("ignore", message="torch.triangular_solve is deprecated")

_log = logging.getLogger(__name__)
_MAX_ROUNDS = 20  # of sampling: an observation that puts less than 1/20 of the posterior in the box is cut short
_LOW_ACCEPTANCE = 0.3
_WIDTHS = (0.5, 3.0)  # of the flows' normals, relative to what was learnt
_RANK_DRAWS = 50  # a flow and held-out simulation, to rank its parameters among


def box_prior(parameters: ParameterSpace) -> "torch.distributions.Distribution":
    """The uniform prior of a parameter space in the unit cube, as sbi wants it."""
    from sbi.utils import BoxUniform

    return BoxUniform(torch.zeros(len(parameters)), torch.ones(len(parameters)))


def _negative_log_prob(flow: Any, x: Tensor, u: Tensor) -> Tensor:
    return flow.loss(u, condition=x)


class _Base(StandardNormal):
    """What a flow transforms: independent normals of one width, which is not learnt but set at the end."""

    width: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__([outputs])
        self.register_buffer("width", torch.ones(()))

    def _log_prob(self, inputs: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(inputs / self.width, context) - inputs.shape[1] * self.width.log()

    def _sample(self, num_samples: int, context: Tensor | None) -> Tensor:
        return super()._sample(num_samples, context) * self.width


@dataclass(eq=False)
class NeuralPosterior(AmortisedEstimator):
    """Amortised posterior p(theta | spectra): equal mixture of neural spline flows with CNN embeddings.

    Members whose validation log-probability falls more than ``tolerance`` nats behind the best are left out: a flow
    that lost a parameter does not come back. Trained flows are too sure of themselves where simulations are few, and
    their mixture can be too unsure: in the end all are made wider or narrower by the one factor with which intervals
    cover the simulations that were held out as often as they say.
    """

    kind: ClassVar[str] = "npe"

    features: SpectralFeatures = field(default_factory=SpectralFeatures)
    epochs: int = 75
    batch: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    hidden_features: int = 50
    transforms: int = 5
    embedding: int = 16
    dropout: float = 0.03
    draws: int = 2000
    tolerance: float = 1.0

    def _learn(self, splits: list[Split]) -> None:
        flows, scores = [], []
        for member, data in enumerate(splits):
            torch.manual_seed(data.seed)
            flow = self._flow(data.x.shape[1], data.x.shape[2])
            flow.net._embedding_net.learn_scale(data.x)
            trained = train(
                flow,
                partial(_negative_log_prob, flow),
                data,
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                label=f"posterior {member + 1} of {self.members}" if self.progress else None,
            )
            flows.append(flow)
            scores.append(-trained.loss)
        kept = [i for i, score in enumerate(scores) if score > max(scores) - self.tolerance]
        if len(kept) < len(flows):
            _log.warning("%d of %d flows fell behind and are left out", len(flows) - len(kept), len(flows))
        self._flows = [flows[i] for i in kept]
        self._widen(splits[0].x_validation, splits[0].u_validation)
        self.about["validation_log_prob"] = scores

    def _splits(self, x: Tensor, u: Tensor) -> Iterator[Split]:
        """The same simulations held out for every member: what the mixture says of them sets its width."""
        first = next(super()._splits(x, u))
        return (first._replace(seed=first.seed + member) for member in range(self.members))

    def _widen(self, x: Tensor, u: Tensor) -> None:
        """Give all flows the width of their normals with which the ranks of u among draws have a uniform's variance."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(len(self._flows), _RANK_DRAWS * len(x), u.shape[1], generator=generator)
        with torch.no_grad():
            contexts = [f.net._embedding_net(x).repeat(_RANK_DRAWS, 1) for f in self._flows]

        def excess(log_width: float) -> float:
            each = zip(self._flows, np.exp(log_width) * noise, contexts, strict=True)
            with torch.no_grad():
                draws = torch.cat([f.net._transform.inverse(z, c)[0].view(_RANK_DRAWS, *u.shape) for f, z, c in each])
            inside = ((draws >= 0) & (draws <= 1)).all(2, keepdim=True)
            ranks = (inside & (draws < u)).sum(0) / inside.sum(0).clamp(min=1)
            return float(12 * (ranks - 0.5).square().mean() - 1)

        low, high = np.log(_WIDTHS)
        if excess(low) < 0 or excess(high) > 0:
            nearest = low if excess(low) < 0 else high
        else:
            nearest = brentq(excess, low, high, xtol=0.01)
        for flow in self._flows:
            flow.net._distribution.width.fill_(np.exp(nearest))
        self.about["width"] = float(np.exp(nearest))

    def _flow(self, channels: int, frequencies: int) -> Any:
        """An untrained flow over the unit cube. sbi shares an embedding between its builds, so each gets its own."""
        from sbi.neural_nets import posterior_nn

        build = posterior_nn(
            "nsf",
            z_score_theta="none",
            z_score_x="none",
            hidden_features=self.hidden_features,
            num_transforms=self.transforms,
            embedding_net=SpectralCNN(channels, frequencies, self.embedding, dropout=self.dropout),
        )
        flow = build(torch.rand(2, len(self.parameters)), torch.randn(2, channels, frequencies))
        flow.net._distribution = _Base(len(self.parameters))
        return flow

    def _answer(self, x: Float[Tensor, "1 channels frequencies"]) -> Estimate:
        samples, acceptance = self._sample(x, self.draws)
        cautions = []
        if acceptance < _LOW_ACCEPTANCE:
            cautions.append(
                f"{100 * (1 - acceptance):.0f} % of the posterior lies outside the parameter space: no parameters in "
                f"it explain this recording well; do not trust the estimate"
            )
        if len(samples) < self.draws:
            cautions.append(f"sampling was cut short at {len(samples)} of {self.draws} draws")
        if not len(samples):
            cautions.append("no draw fell into the parameter space: the samples are its centre, not a posterior")
            samples = torch.full((1, len(self.parameters)), 0.5)
        draws = self.parameters.from_unit(samples.numpy().astype(float))
        return Estimate(self.parameters, draws.mean(0), draws, "neural posterior", tuple(cautions))

    def _sample(self, x: Tensor, draws: int) -> tuple[Float[Tensor, "accepted n_parameters"], float]:
        """Draws inside the unit cube, shared equally among the flows, and the share of all draws that fell inside."""
        inside, accepted, tried = [], 0, 0
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            for i, flow in enumerate(self._flows):
                wanted = draws * (i + 1) // len(self._flows) - draws * i // len(self._flows)
                got = 0
                for _ in range(_MAX_ROUNDS if wanted else 0):
                    u = flow.sample((wanted,), condition=x)[:, 0]
                    tried += wanted
                    u = u[((u >= 0) & (u <= 1)).all(1)]
                    accepted += len(u)
                    u = u[: wanted - got]
                    got += len(u)
                    inside.append(u)
                    if got == wanted:
                        break
        return torch.cat(inside), accepted / tried

    def log_prob(
        self, theta: Float[np.ndarray, "thetas n_parameters"], x: Float[Tensor, "1 channels frequencies"]
    ) -> Float[np.ndarray, " thetas"]:
        """Log densities in the unit cube, given one spectrum; not corrected for the mass outside the cube."""
        u = torch.as_tensor(self.parameters.to_unit(theta)[:, None], dtype=torch.float32)
        with torch.no_grad():
            each = torch.stack([flow.log_prob(u, condition=x)[:, 0] for flow in self._flows])
        return (torch.logsumexp(each, 0) - np.log(len(self._flows))).numpy().astype(float)

    def direct_posteriors(self) -> list[Any]:
        """The members as sbi ``DirectPosterior`` objects over the unit cube, for sbi's own tools."""
        from sbi.inference.posteriors import DirectPosterior

        return [DirectPosterior(flow, box_prior(self.parameters)) for flow in self._flows]

    def _settings(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {k: v for i, flow in enumerate(self._flows) for k, v in stored_state(flow, f"{i}.").items()}
        settings = {
            "flows": len(self._flows),
            "frequencies": len(self.features.frequencies),
            "hidden_features": self.hidden_features,
            "transforms": self.transforms,
            "embedding": self.embedding,
            "draws": self.draws,
        }
        return settings, tensors

    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        for name, most in (
            ("hidden_features", 10_000),
            ("transforms", 100),
            ("embedding", 10_000),
            ("draws", MOST_DRAWS),
        ):
            setattr(self, name, whole(settings, name, 1, most))
        frequencies = len(self.features.frequencies)
        whole(settings, "frequencies", frequencies, frequencies)
        # sbi builds nothing on the device "meta": that a flow fits into the file is found out before.
        no_larger_than_file(
            tensors,
            "flow",
            (self.transforms, self.hidden_features, self.hidden_features),
            (len(self.channels), frequencies),
            (self.transforms, self.embedding, self.hidden_features),
        )
        self._flows = []
        for i in range(whole(settings, "flows", 1, 1000)):
            flow = self._flow(len(self.channels), frequencies)
            state = {k.removeprefix(f"{i}."): v for k, v in tensors.items() if k.startswith(f"{i}.")}
            for name, built in flow.state_dict().items():
                # Which inputs a spline takes follows from the settings; other indices could lie outside of them.
                if not built.is_floating_point() and not torch.equal(built, state[name]):
                    raise ValueError(f"{i}.{name} does not hold the indices of such a flow")
            flow.load_state_dict(state)
            self._flows.append(flow.eval())
