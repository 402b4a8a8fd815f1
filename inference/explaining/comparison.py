"""Which circuit, given the others: amortised comparison of models by a classifier of spectra.

Backgrounds are drawn at random beside every circuit, and alone they are one more class (Elsemueller et al. 2024).
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from inference.estimators.familiarity import Familiarity
from inference.estimators.spectral_networks import Standardise
from inference.explaining.spectra import FEATURES, pieces, spectrum
from simulators.provenance import versions
from simulators.recording import Recording
from surrogates.headers import number, texts
from surrogates.spectra.additions import Additions
from surrogates.spectra.cholesky import with_weights
from surrogates.threads import one_thread
from surrogates.weights import read_weights, write_weights

BACKGROUND = "background alone"
MOST_SHARE = 0.9  # of the power that a background makes beside a circuit
_CLEAN = 0.3  # of the simulations have none
_COPIES = 4  # of each simulation, with other backgrounds
_HELD = 0.15
_PASSES, _BATCH, _RATE = 40, 256, 2e-3
_MEMBERS, _WIDTH = 3, 128
_FORMAT = 2
_CLASS = "class."
_NAME = re.compile("[A-Za-z0-9_-]{1,60}")
_REMEDY = "make it again with scripts/make_explain.py"


class _Classifier(nn.Module):
    def __init__(self, frequencies: int, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(1, frequencies)
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(frequencies, _WIDTH), nn.SiLU(), nn.Dropout(0.1), nn.Linear(_WIDTH, _WIDTH),
            nn.SiLU(), nn.Dropout(0.1), nn.Linear(_WIDTH, classes),
        )  # fmt: skip

    def forward(self, x: Float[Tensor, "rows 1 frequencies"]) -> Float[Tensor, "rows classes"]:
        return self.body(self.standardise(x))


@dataclass(eq=False)
class CircuitComparison:
    """Probabilities of circuits and of a background alone, of one channel of unknown gain, 10 to 200 Hz.

    classes: what is told apart; circuits: the circuit behind each. Ranges of one circuit hold each other's networks.

    All circuits, and the background, are equally likely before. Of recordings to which a circuit is given 80 %, it made
    80 %, if one of the circuits made them; what none of them made is for the circuits' own checks to find out.
    """

    classes: tuple[str, ...]
    circuits: tuple[str, ...]
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)
    _familiar: list[Familiarity] = field(default_factory=list, init=False)

    @classmethod
    def learned(
        cls, recordings: Mapping[str, Sequence[Recording]], ranges_of: Mapping[str, str] | None = None, seed: int = 0
    ) -> Self:
        """From simulations of each class, all of one length, with backgrounds that are drawn here.

        ranges_of: the circuit of each class that is a range of one.
        """
        classes = (*recordings, BACKGROUND)
        circuits = tuple((ranges_of or {}).get(name, name) for name in classes)
        first = next(iter(recordings.values()))[0]
        made = cls(classes, circuits, first.duration_ms / 1e3)
        rng = np.random.default_rng(seed)
        x, y, held = _examples(recordings, rng)
        made.about = {"simulations": {name: len(r) for name, r in recordings.items()}, "versions": versions()}
        with one_thread():
            made._learn(torch.as_tensor(x).float(), torch.as_tensor(y), torch.as_tensor(held), seed)
            seen = torch.as_tensor(x).float()
            made._familiar = [Familiarity.of_simulations(seen[y == k], seed, alike=False) for k in range(len(classes))]
        return made

    def _learn(self, x: Tensor, y: Tensor, held: Tensor, seed: int) -> None:
        counts = torch.bincount(y, minlength=len(self.classes)).float()
        weights = counts.sum() / counts / len(counts)
        kept = torch.nonzero(~held)[:, 0]
        self._nets = []
        for member in range(_MEMBERS):
            torch.manual_seed(1000 * seed + member)
            net = _Classifier(x.shape[-1], len(self.classes))
            net.standardise.learn(x[kept])
            steps = _PASSES * max(1, len(kept) // _BATCH)
            optimiser = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
            for _ in range(steps):
                rows = kept[torch.randint(len(kept), (_BATCH,))]
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows], weights).backward()
                optimiser.step()
                schedule.step()
            self._nets.append(net.eval())
        self._temperature = torch.ones(())
        logits, truth = self._logits(x[held]), y[held]
        losses = {t: float(nn.functional.cross_entropy(logits / t, truth, weights)) for t in np.geomspace(0.5, 4, 40)}
        best = min(losses, key=lambda t: losses[t])
        self._temperature = torch.tensor(float(best))
        self.about |= {"temperature": float(best), "log_loss": losses[best]}

    def _logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            each = torch.stack([torch.log_softmax(net(x), -1) for net in self._nets])
        return torch.logsumexp(each, 0) / self._temperature

    def probabilities(self, recording: Recording) -> dict[str, float]:
        """Of each class, most probable first; of a longer recording the mean over pieces of the length learned from."""
        return self.probabilities_of([recording])

    def probabilities_of(self, trials: Sequence[Recording]) -> dict[str, float]:
        """As ``probabilities``, of trials, which are put together to such pieces."""
        x = self._pieces(trials)
        # Ranges of one circuit share what one circuit has before.
        ranges = torch.tensor([self.circuits.count(circuit) for circuit in self.circuits])
        with one_thread():
            logits = self._logits(x) - ranges.log()
            found = torch.softmax(logits, -1).mean(0).numpy()
        order = np.argsort(-found)
        return {self.classes[k]: float(found[k]) for k in order}

    def _pieces(self, trials: Sequence[Recording]) -> Float[Tensor, "pieces 1 frequencies"]:
        steady = [Recording(t.steady, t.sampling_rate, t.unit, t.channels) for t in trials]
        return torch.as_tensor(np.stack([spectrum(FEATURES, one) for one in pieces(steady, self.seconds)])).float()

    def strangeness(self, trials: Sequence[Recording], name: str) -> float:
        """How far spectra lie from those of a class's simulations, with backgrounds; 1 is the limit of its own."""
        with one_thread():
            known = self._familiar[self.classes.index(name)]
            return float(np.median([known.strangeness(piece[None]).distance for piece in self._pieces(trials)]))

    def circuit_of(self, name: str) -> str:
        """The circuit behind a class."""
        return self.circuits[self.classes.index(name)]

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file."""
        tensors = {f"{i}.{k}": v for i, net in enumerate(self._nets) for k, v in net.state_dict().items()}
        header = {"thing": "comparison", "format": _FORMAT, "classes": list(self.classes)}
        header |= {"circuits": list(self.circuits), "seconds": self.seconds}
        for k, known in enumerate(self._familiar):
            tensors |= {f"{_CLASS}{k}.{name}": v for name, v in known.tensors().items()}
        write_weights(path, header | {"about": self.about}, tensors | {"temperature": self._temperature})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """The inverse of ``save``. Raises ValueError where it is no (whole) file of a comparison."""
        header, tensors = read_weights(path, "comparison", _FORMAT, _REMEDY)
        try:
            seconds = number(header, "seconds", 0.5, 3600.0)
            made = cls(texts(header, "classes"), texts(header, "circuits"), seconds, dict(header["about"]))
            names = [name for name in made.classes if name != BACKGROUND]
            if (
                len(set(made.classes)) != len(made.classes)
                or BACKGROUND not in made.classes
                or not names
                or len(made.circuits) != len(made.classes)
            ):
                raise ValueError("it does not compare circuits with a background alone")
            if not all(_NAME.fullmatch(name) for name in names):
                raise ValueError("a circuit's name is not one of letters, digits and hyphens")
            with torch.device("meta"):
                nets = [_Classifier(len(FEATURES.axis.values), len(made.classes)) for _ in range(_MEMBERS)]
            made._nets = [with_weights(net, f"{i}.", tensors).eval() for i, net in enumerate(nets)]
            made._temperature = tensors["temperature"].reshape(())
            made._familiar = [_familiarity(tensors, f"{_CLASS}{k}.") for k in range(len(made.classes))]
            if not (made._temperature > 0 and all((net.standardise.scale > 0).all() for net in made._nets)):
                raise ValueError("temperature and scales must be above 0")
        except (LookupError, TypeError, RuntimeError, ValueError) as error:
            raise ValueError(f"{Path(path)} does not fit together ({error}); {_REMEDY}") from error
        return made


def _familiarity(tensors: Mapping[str, Tensor], prefix: str) -> Familiarity:
    """Of one class. Raises ValueError where there is none."""
    own = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
    found = Familiarity.restored(own, 1, len(FEATURES.axis.values))
    if found is None:
        raise ValueError("it does not say what its simulations look like")
    return found


def _examples(
    recordings: Mapping[str, Sequence[Recording]], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n 1 f"], Integer[np.ndarray, " n"], np.ndarray]:
    """Spectra, classes, and whether they are kept to calibrate; all copies of a simulation are, or none."""
    x, y, held = [], [], []
    for k, each in enumerate(recordings.values()):
        for recording in each:
            apart = rng.random() < _HELD
            for _ in range(_COPIES):
                share = 0.0 if rng.random() < _CLEAN else rng.uniform(0, MOST_SHARE)
                x.append(FEATURES(Additions().added(recording, share, rng) if share else recording))
                y.append(k)
                held.append(apart)
    alone = next(iter(recordings.values()))[0]
    for _ in range(len(x) // max(1, len(recordings))):
        x.append(FEATURES(Additions().added(alone, 1.0, rng)))
        y.append(len(recordings))
        held.append(rng.random() < _HELD)
    return np.stack(x), np.array(y), np.array(held)
