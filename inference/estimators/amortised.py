"""What the estimators trained on spectra share: spectra in, unit-cube parameters out."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.estimators.training_loop import Split
from inference.features.spectra import SpectralFeatures
from simulators.interface import ParameterSpace
from simulators.provenance import versions
from simulators.recording import Recording
from surrogates.headers import LARGEST_SEED, number, texts, whole
from surrogates.threads import one_thread

_KEPT = ("seed", "members", "validation_fraction")
_MOST_MEMBERS = 1000
MOST_NEIGHBOURS = 10**9
_LENGTH = 1.5  # a recording longer or shorter by this factor is of another length


@dataclass(eq=False)
class AmortisedEstimator(BaseEstimator):
    """An estimator trained on the spectra of simulated recordings.

    parameters: the box it answers in; features: what it sees; seed: of the splits, the initial weights and the batches;
    members: networks in the ensemble; validation_fraction: share of the simulations that choose a member's checkpoint
    instead of teaching it, another share for each member; progress: show bars.
    """

    parameters: ParameterSpace
    features: SpectralFeatures
    seed: int = 0
    members: int = 3
    validation_fraction: float = 0.15
    progress: bool = False
    channels: tuple[str, ...] = field(default=(), init=False)
    unit: str = field(default="", init=False)
    about: dict[str, Any] = field(default_factory=dict, init=False)

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Learn from recordings simulated at ``theta``. Raises ValueError as ``fit_spectra`` and the features do."""
        first, seconds = recordings[0], []

        def noted() -> Iterator[Recording]:
            for recording in recordings:  # once only: they may be computed when asked for
                seconds.append(recording.duration_ms / 1e3)
                yield recording

        self.fit_spectra(theta, self.features.of_all(noted()), first.channels, first.unit)
        self.about["duration_s"] = float(np.median(seconds))
        return self

    def fit_spectra(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        spectra: Float[np.ndarray, "simulations channels frequencies"],
        channels: tuple[str, ...],
        unit: str,
    ) -> Self:
        """Learn from features computed before. Raises ValueError for theta outside the box or too few simulations."""
        self.parameters.check_simulations(theta, len(spectra))
        if not np.isfinite(spectra).all():
            raise ValueError("some spectra are not finite; leave silent and failed simulations out")
        self.channels, self.unit = channels, unit
        x = torch.as_tensor(spectra, dtype=torch.float32)
        u = torch.as_tensor(self.parameters.to_unit(theta), dtype=torch.float32)
        self.about = {
            "simulations": len(x),
            "trained_sd": self._sd_range(spectra),
            "data_hash": hashlib.sha256(x.numpy().tobytes() + u.numpy().tobytes()).hexdigest()[:16],
            "versions": versions(),
        }
        with one_thread():
            self._learn(list(self._splits(x, u)))
        return self

    def estimate(self, recording: Recording) -> Estimate:
        recording = self.ready(recording)
        x = self.features(recording)
        with one_thread():
            estimate = self._answer(torch.as_tensor(x[None], dtype=torch.float32))
        return replace(estimate, warnings=(*estimate.warnings, *self._of_another_length(recording.duration_ms / 1e3)))

    def _of_another_length(self, seconds: float) -> tuple[str, ...]:
        """A warning where spectra are much noisier, or much less noisy, than those that taught the width of answers."""
        trained = self.about.get("duration_s", seconds)
        if 1 / _LENGTH < seconds / trained < _LENGTH:
            return ()
        wrong = "wider than it need be" if seconds > trained else "too narrow"
        return (
            f"the recording lasts {seconds:.3g} s and this estimator learned from {trained:.3g} s, so its posterior is "
            f"{wrong}; train one with 'circuitsbi train --duration {seconds:.3g}', or take the gradient fit",
        )

    def _splits(self, x: Tensor, u: Tensor) -> Iterator[Split]:
        """One split a member, each with another part of the simulations held out."""
        order = np.random.default_rng(self.seed).permutation(len(x))
        folds = np.array_split(order, max(2, round(1 / self.validation_fraction)))
        for member in range(self.members):
            held_out = folds[member % len(folds)]
            kept = np.setdiff1d(order, held_out)
            yield Split(x[kept], u[kept], x[held_out], u[held_out], 1000 * self.seed + member)

    def _sd_range(self, spectra: Float[np.ndarray, "simulations channels frequencies"]) -> list[list[float]]:
        """Lowest and highest standard deviation within the band, of each channel."""
        width = np.diff(self.features.frequencies[:2])[0]
        sd = np.sqrt(np.sum(10.0 ** spectra.astype(float), axis=2) * width)
        return [sd.min(0).tolist(), sd.max(0).tolist()]

    @abstractmethod
    def _learn(self, splits: list[Split]) -> None: ...

    @abstractmethod
    def _answer(self, x: Float[Tensor, "1 channels frequencies"]) -> Estimate: ...

    @abstractmethod
    def _settings(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings (JSON) and tensors from which ``_restore`` rebuilds the trained networks."""

    @abstractmethod
    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None: ...

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        settings, tensors = self._settings()
        return {name: getattr(self, name) for name in _KEPT} | {"settings": settings}, tensors

    @classmethod
    def _restored(
        cls, parameters: ParameterSpace, features: SpectralFeatures, header: dict[str, Any], tensors: dict[str, Tensor]
    ) -> Self:
        estimator = cls(
            parameters,
            features,
            seed=whole(header, "seed", 0, LARGEST_SEED),
            members=whole(header, "members", 1, _MOST_MEMBERS),
            validation_fraction=number(header, "validation_fraction", 0.0, 1.0),
        )
        estimator.channels = texts(header, "channels")
        estimator._restore(header["settings"], tensors)
        return estimator
