"""What the trained estimators share: spectra in, unit-cube parameters out, checks, and one file that holds them."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from inference.estimate import Estimate
from inference.features import SpectralFeatures
from inference.matching import matched
from inference.training import Split
from simulators.campaign import versions
from simulators.interface import ParameterSpace
from simulators.recording import Recording

FORMAT = 2


@dataclass(eq=False)
class LearnedEstimator(ABC):
    """An estimator trained on simulated recordings.

    parameters: the box it answers in; features: what it sees; seed: of the splits, the initial weights and the batches;
    members: networks in the ensemble; validation_fraction: share of the simulations that choose a member's checkpoint
    instead of teaching it, another share for each member; progress: show bars.
    ``about`` says, once trained, what made it. Channels and unit are those of the recordings it was trained on.
    """

    kind: ClassVar[str]

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
        first = recordings[0]
        return self.fit_spectra(theta, self.features.of_all(recordings), first.channels, first.unit)

    def fit_spectra(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        spectra: Float[np.ndarray, "simulations channels frequencies"],
        channels: tuple[str, ...],
        unit: str,
    ) -> Self:
        """Learn from features computed before. Raises ValueError for theta outside the box or too few simulations."""
        if len(theta) != len(spectra) or len(theta) < 40:
            raise ValueError(f"{len(theta)} thetas and {len(spectra)} recordings; training needs 40 or more of both")
        outside = ~self.parameters.contains(theta)
        if outside.any():
            raise ValueError(
                f"theta {theta[outside][0]} (simulation {np.argmax(outside)}) lies outside the parameter space"
            )
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
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more is slower for networks this small
        try:
            self._learn(list(self._splits(x, u)))
        finally:
            torch.set_num_threads(threads)
        return self

    def estimate(self, recording: Recording) -> Estimate:
        """Parameters of a recording. Raises ValueError if it cannot be made to match what was trained on."""
        x = self.features(self.ready(recording))
        return self._answer(torch.as_tensor(x[None], dtype=torch.float32))

    def ready(self, recording: Recording) -> Recording:
        """The recording in the channel order, unit and sampling rate of training. Raises ValueError as ``matched``."""
        if not self.channels:
            raise ValueError(f"this {type(self).__name__} is not trained yet; call fit, or load a trained one")
        sd = np.array(self.about["trained_sd"])
        return matched(recording, self.features, self.channels, self.unit, trained_sd=sd)

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
    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings (JSON) and tensors from which ``_restore`` rebuilds the trained estimator."""

    @abstractmethod
    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None: ...

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file whose JSON header holds everything but the weights."""
        settings, tensors = self._state()
        header = {
            "format": FORMAT,
            "kind": self.kind,
            "parameters": self.parameters.to_json(),
            "features": self.features.to_json(),
            "seed": self.seed,
            "members": self.members,
            "validation_fraction": self.validation_fraction,
            "channels": list(self.channels),
            "unit": self.unit,
            "about": self.about,
            "settings": settings,
        }
        contiguous = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
        partial = Path(path).with_name(Path(path).name + ".partial")
        partial.write_bytes(save(contiguous, {"circuitsbi": json.dumps(header)}))
        partial.replace(path)

    @classmethod
    def _kinds(cls) -> dict[str, type["LearnedEstimator"]]:
        return {sub.kind: sub for sub in LearnedEstimator.__subclasses__()}


def load_estimator(path: str | os.PathLike) -> LearnedEstimator:
    """Open a saved estimator; no code in the file is run. Raises ValueError where it is no (whole) estimator file."""
    from inference import cnn, posterior  # noqa: F401  (they register their kinds)

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; train an estimator with 'circuitsbi train'")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("circuitsbi", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"{path} is damaged or no estimator ({error}); copy it again, or train a new one") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} holds weights, but not those of a circuitsbi estimator")
    if header.get("format") != FORMAT:
        made_by = header.get("about", {}).get("versions", {}).get("circuitsbi", "another version")
        raise ValueError(
            f"{path} has estimator format {header.get('format')}, this version reads {FORMAT} (it was made by "
            f"{made_by}); train it again with 'circuitsbi train'"
        )
    try:
        estimator_class = LearnedEstimator._kinds()[header["kind"]]
        estimator = estimator_class(
            ParameterSpace.from_json(header["parameters"]),
            SpectralFeatures.from_json(header["features"]),
            seed=header["seed"],
            members=header["members"],
            validation_fraction=header["validation_fraction"],
        )
        estimator.channels, estimator.unit = tuple(header["channels"]), header["unit"]
        estimator.about = header["about"]
        estimator._restore(header["settings"], tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit together ({type(error).__name__}: {error}); train it again") from error
    return estimator
