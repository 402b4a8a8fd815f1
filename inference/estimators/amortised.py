"""What estimators that learn once from features share: features in, unit-cube parameters out."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.along import POWER, apart, log_power, power_parameter, tells_gain
from inference.estimators.base import BaseEstimator, refuse_known
from inference.estimators.familiarity import Familiarity
from inference.estimators.training_loop import Split
from inference.features.interface import Features, features_of_all
from inference.features.timed import TimedSpectra
from inference.recordings.conform import resampled
from simulators.interface import Parameter, ParameterSpace
from simulators.provenance import versions
from simulators.recording import Recording
from surrogates.headers import LARGEST_SEED, integer, number, parameter_space, texts
from surrogates.threads import one_thread

_KEPT = ("seed", "members", "validation_fraction")
_MOST_MEMBERS = 1000
_FEWEST_SIMULATIONS = 20  # different ones: of fewer, copies are split
MOST_NEIGHBOURS = 10**9
_LENGTH = 1.5  # a recording longer or shorter by this factor is of another length


@dataclass(eq=False)
class AmortisedEstimator(BaseEstimator):
    """An estimator trained on the features of simulated recordings, which then answers for any recording at once.

    parameters: the box it answers in; features: what it sees; seed: of the splits, the initial weights and the batches;
    members: networks in the ensemble; validation_fraction: share of the simulations that choose a member's checkpoint
    instead of teaching it, another share for each member; progress: show bars.
    """

    learns_along: ClassVar[bool] = False
    """Whether it can learn more than the parameters, of which it has draws then."""

    parameters: ParameterSpace
    features: Features
    seed: int = 0
    members: int = 3
    validation_fraction: float = 0.15
    progress: bool = False
    channels: tuple[str, ...] = field(default=(), init=False)
    unit: str = field(default="", init=False)
    about: dict[str, Any] = field(default_factory=dict, init=False)
    familiarity: Familiarity | None = field(default=None, init=False)
    known: Mapping[str, float] = field(default_factory=dict, init=False)
    along: tuple[Parameter, ...] = field(default=(), init=False)  # learned beside the parameters, reported as nuisances
    _whole: ParameterSpace | None = field(default=None, init=False)  # all parameters, where some are known

    def fit(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        recordings: Sequence[Recording],
        along: tuple[Parameter, ...] = (),
    ) -> Self:
        """Learn from recordings simulated at ``theta``. Raises ValueError as ``fit_features`` and the features do.

        along: as of ``fit_features``; a posterior of relative spectra learns their power along by itself.
        """
        first, seconds, sds, powers = recordings[0], [], [], []
        gain = self._learns_gain

        def noted() -> Iterator[Recording]:
            for simulated in recordings:  # once only: they may be computed when asked for
                recording = resampled(simulated, self.features.sampling_rate)
                seconds.append(recording.duration_ms / 1e3)
                sds.append(recording.steady.std(axis=1))
                if gain:
                    powers.append(log_power(recording, self.features))
                yield recording

        x = features_of_all(self.features, noted())
        if gain and len(theta) == len(x):
            theta, along = np.column_stack([theta, powers]), (*along, power_parameter(powers))
        self.fit_features(theta, x, first.channels, first.unit, along)
        self.about["duration_s"] = float(np.median(seconds))
        self.about["trained_sd"] = [np.min(sds, 0).tolist(), np.max(sds, 0).tolist()]
        return self

    def fit_features(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        features: Float[np.ndarray, "simulations channels values"],
        channels: tuple[str, ...],
        unit: str,
        along: tuple[Parameter, ...] = (),
    ) -> Self:
        """Learn from features computed before. Raises ValueError for theta outside the box or too few simulations.

        along: what a posterior is to learn beside the parameters; theta has its values in further columns.
        """
        before, self.along = self.along, along
        try:
            x, u = self._tensors(theta, features)
        except ValueError:
            self.along = before
            raise
        self.channels, self.unit = channels, unit
        self.about = {
            "simulations": len(x),
            "data_hash": hashlib.sha256(x.numpy().tobytes() + u.numpy().tobytes()).hexdigest()[:16],
            "versions": versions(),
        }
        with one_thread():
            self._learn(list(self._splits(x, u)))
            self.familiarity = Familiarity.of_simulations(x, self.seed, self._alike)
        return self

    def _tensors(self, theta: np.ndarray, features: np.ndarray) -> tuple[Tensor, Tensor]:
        """Features and unit-cube parameters. Raises ValueError as ``fit_features``, and where values are known."""
        refuse_known(self.known)
        if theta.shape[1] != len(self._learned):
            raise ValueError(
                f"theta has {theta.shape[1]} columns; this estimator learns {len(self._learned)} numbers: "
                f"{', '.join(self._learned.names)}"
            )
        self._learned.check_simulations(theta, len(features))
        if not np.isfinite(features).all():
            raise ValueError("some features are not finite; leave silent and failed simulations out")
        unit = self._learned.to_unit(theta)
        return torch.as_tensor(features, dtype=torch.float32), torch.as_tensor(unit, dtype=torch.float32)

    def estimate(self, recording: Recording) -> Estimate:
        recording = self.ready(recording)
        x = torch.as_tensor(self.features(recording)[None], dtype=torch.float32)
        seconds = recording.duration_ms / 1e3
        with one_thread():
            estimate = apart(self._answer(x), self.along, recording, self.features)
            unlike = self._unlike_the_simulations(x, seconds)
        warnings = (*unlike, *estimate.warnings, *self._unknown(), *self._of_another_length(seconds))
        return replace(estimate, warnings=warnings, trusted=estimate.trusted and not unlike)

    def given(self, known: Mapping[str, float]) -> Self:
        other, learned = copy(self), self._whole or self.parameters
        other.parameters, other.known, other._whole = learned.without(known), dict(known), learned
        return other

    def _known_places(self) -> tuple[list[int], list[int], Float[Tensor, " known"]]:
        """Which of all parameters are free, which are known, and the values of these in the unit cube."""
        space = self._learned
        at = [space.names.index(name) for name in self.known]
        free = [i for i in range(len(space)) if i not in at]
        u = (np.array(list(self.known.values())) - space.low[at]) / (space.high - space.low)[at]
        return free, at, torch.as_tensor(u).float()

    @property
    def _learned(self) -> ParameterSpace:
        """All that is learned: parameters, also those that are known, and what is learned along."""
        return ParameterSpace((*(self._whole or self.parameters), *self.along))

    @property
    def _learns_gain(self) -> bool:
        """Whether it learns the power at a gain of one along."""
        return self.learns_along and tells_gain(self.features)

    @property
    def _rows(self) -> tuple[str, ...]:
        return self.features.rows(self.channels)

    @property
    def _alike(self) -> bool:
        """Whether rows are the channels, which have something in common and differ from it."""
        return self._rows == self.channels

    def _unlike_the_simulations(self, x: Float[Tensor, "1 channels values"], seconds: float) -> tuple[str, ...]:
        """A warning where the features are none of those that the simulations have."""
        if self.familiarity is None:
            return ()
        found = self.familiarity.strangeness(x, seconds / self._learned_s(seconds))
        if found.distance <= 1:
            return ()
        axis = self.features.axis
        if self._alike:
            row = found.row - 1
            where = "all channels" if row < 0 else f"{self.channels[row]} against the other channels"
        else:
            where = self._rows[found.row]
        return (
            f"this recording does not look like the simulations that taught this estimator, most of all at "
            f"{axis.values[found.column]:.3g} {axis.unit} in {where} ({found.distance:.3g} times as far from them as "
            f"they lie apart); do not trust the estimate",
        )

    def _learned_s(self, seconds: float) -> float:
        """The length of the recordings it learned from, or the nearest of those."""
        if isinstance(self.features, TimedSpectra):
            return float(np.clip(seconds, *self.features.lengths_s))
        return float(self.about.get("duration_s", seconds))

    def _unknown(self) -> tuple[str, ...]:
        if self.familiarity is not None:
            return ()
        return (
            "this estimator's file is an older one and cannot tell whether a recording looks like its training data; "
            "train it again",
        )

    def _of_another_length(self, seconds: float) -> tuple[str, ...]:
        """A warning where spectra are much noisier, or much less noisy, than those that taught the width of answers."""
        trained = self._learned_s(seconds)
        if 1 / _LENGTH < seconds / trained < _LENGTH:
            return ()
        wrong = "wider than it need be" if seconds > trained else "too narrow"
        return (
            f"the recording lasts {seconds:.3g} s and this estimator learned from {trained:.3g} s, so its posterior is "
            f"{wrong}; train one with 'circuitsbi train --duration {seconds:.3g}', or take the gradient fit",
        )

    def _splits(self, x: Tensor, u: Tensor) -> Iterator[Split]:
        """One split a member, each with another part of the simulations held out.

        What is seen of one simulation several times, with other additions or by other probes, is held out together.
        """
        _, first, of = np.unique(u[:, : len(self.parameters)].numpy(), axis=0, return_index=True, return_inverse=True)
        if len(first) < _FEWEST_SIMULATIONS:  # all would be held out of some places
            first = of = np.arange(len(x))
        simulation = first.argsort().argsort()[of.ravel()]  # of each row, numbered in the order they come in
        rows_of = np.split(simulation.argsort(kind="stable"), np.bincount(simulation).cumsum()[:-1])
        folds = np.array_split(
            np.random.default_rng(self.seed).permutation(len(first)), max(2, round(1 / self.validation_fraction))
        )
        for member in range(self.members):
            held_out = np.concatenate([rows_of[k] for k in folds[member % len(folds)]])
            kept = np.setdiff1d(np.arange(len(x)), held_out)
            yield Split(x[kept], u[kept], x[held_out], u[held_out], 1000 * self.seed + member)

    @abstractmethod
    def _learn(self, splits: list[Split]) -> None: ...

    @abstractmethod
    def _answer(self, x: Float[Tensor, "1 channels values"]) -> Estimate: ...

    @abstractmethod
    def _settings(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings (JSON) and tensors from which ``_restore`` rebuilds the trained networks."""

    @abstractmethod
    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None: ...

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        refuse_known(self.known)
        settings, tensors = self._settings()
        known = self.familiarity.tensors() if self.familiarity else {}
        along = {"along": ParameterSpace(self.along).to_json()} if self.along else {}
        return {name: getattr(self, name) for name in _KEPT} | {"settings": settings} | along, tensors | known

    @classmethod
    def _restored(
        cls, parameters: ParameterSpace, features: Features, header: dict[str, Any], tensors: dict[str, Tensor]
    ) -> Self:
        estimator = cls(
            parameters,
            features,
            seed=integer(header, "seed", 0, LARGEST_SEED),
            members=integer(header, "members", 1, _MOST_MEMBERS),
            validation_fraction=number(header, "validation_fraction", 0.0, 1.0),
        )
        estimator.channels = texts(header, "channels")
        if "along" in header:
            estimator.along = tuple(parameter_space(header, "along"))
            if not estimator.learns_along:
                raise ValueError(f"'{cls.kind}' learns nothing along")
            if POWER in [p.name for p in estimator.along] and not tells_gain(features):
                raise ValueError(f"{POWER} is learned along relative spectra alone")
        estimator._restore(header["settings"], tensors)
        estimator.familiarity = Familiarity.restored(
            tensors, len(estimator._rows) + estimator._alike, len(features.axis.values)
        )
        return estimator
