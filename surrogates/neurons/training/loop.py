"""One training loop for every surrogate neuron: staged, resumable, stopped by what the network does running freely."""

import hashlib
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from surrogates.neurons.interface import NeuronSurrogate, Target
from surrogates.neurons.measures.scores import CLIP_MV, match_spikes, variance_explained
from surrogates.neurons.training.data import Runs, join
from surrogates.weights import read_weights, write_weights

_FORMAT = 2
_NUMBERS = "done", "seconds", "best"
_TOLERANCE_MS = 2.0


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    passes: batches of whole runs, each learned from in stretches of ``stretch_bins``, the state carried from one to the
    next; shares: of the passes, for each stage of data; patience: of the ``validations``, how many without a better one
    end the training.
    """

    passes: int = 2000
    batch: int = 128
    stretch_bins: int = 400
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    shares: tuple[float, ...] = (0.02, 0.08, 0.9)
    validations: int = 40
    patience: int = 10
    seed: int = 0

    def changed(self, **to: Any) -> "Schedule":
        """The same schedule with other values; None leaves one as it is."""
        return replace(self, **{name: value for name, value in to.items() if value is not None})

    def stage(self, done: int) -> int:
        """The stage of the pass after ``done`` passes."""
        ends = [math.fsum(self.shares[: k + 1]) / math.fsum(self.shares) for k in range(len(self.shares))]
        return next((k for k, end in enumerate(ends) if done < end * self.passes), len(ends) - 1)

    def rate(self, done: float) -> float:
        """Learning rate after so many passes: a short rise, then half a cosine."""
        part = done / self.passes
        return self.learning_rate * min(1.0, 0.01 + part / 0.03) * (0.51 + 0.49 * math.cos(math.pi * part))


class Trained(NamedTuple):
    """What training came to.

    error: of the kept state on the validation runs; history: passes and error of each; data: ``digest`` of the stages;
    minutes: of the processor, those before a restart too.
    """

    error: float
    history: list[tuple[int, float]]
    data: str
    minutes: float


def digest(stages: Sequence[Runs]) -> str:
    """SHA-256 of the events and voltages of training data, and of where its stages end."""
    found = hashlib.sha256(str([len(runs) for runs in stages]).encode())
    for runs in stages:
        found.update(runs.events.contiguous().numpy().data)
        found.update(runs.target.v.contiguous().numpy().data)
    return found.hexdigest()


def _digest_of(network: nn.Module) -> str:
    found = hashlib.sha256()
    for weight in network.parameters():
        found.update(weight.detach().contiguous().numpy().data)
    return found.hexdigest()


def free_running_error(network: NeuronSurrogate, runs: Runs) -> float:
    """What is wrong with a surrogate that runs freely: the variance of V it does not explain, plus 1 - F1 of spikes.

    V is clipped where only spikes are; spikes may be shifted by 2 ms. Infinite where V is no number.
    """
    response = network.respond(runs.events)
    if not response.v.isfinite().all():
        return math.inf
    unexplained = 1 - variance_explained(response.v.clamp(max=CLIP_MV), runs.target.v.clamp(max=CLIP_MV))
    spikes = match_spikes(response.spikes, runs.target.spikes, network.bin_ms, _TOLERANCE_MS)
    missed = 1 - 2 * spikes.matched / max(spikes.predicted + spikes.true, 1) if spikes.true else float(spikes.predicted)
    return unexplained + missed


def train_neuron(
    network: NeuronSurrogate,
    stages: Sequence[Runs],
    validation: Runs,
    schedule: Schedule,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
    rescale: bool = True,
) -> Trained:
    """Train on the first stage, then on the first two together, and so on; leave the best state in ``network``.

    stages: runs at rest, below threshold, above it, say. checkpoint: a file to go on from, written after each
    validation: killed and called again with the same arguments, training ends with the same weights. rescale: take
    scales from the data first; not for a network that has learned already. Raises ValueError where the stages do not
    fit the schedule, no validation run ever changes, the checkpoint is of another training, or training diverges.
    """
    if not validation.target.v.std() > 0:
        raise ValueError("V never changes in the validation runs: the cell does not respond; raise weights or rates")
    if len(stages) != len(schedule.shares):
        raise ValueError(f"{len(stages)} stages of data, but shares of the passes for {len(schedule.shares)}")
    rows = [sum(len(stage) for stage in stages[: k + 1]) for k in range(len(stages))]
    runs = join(stages)
    if rescale:
        network.scale_to(*runs)
    outputs = hashlib.sha256(runs.target.outputs.contiguous().numpy().data).hexdigest()
    training = _Training(network, schedule, digest(stages), outputs, "" if rescale else _digest_of(network))
    if checkpoint is not None and Path(checkpoint).is_file():
        training.restore(checkpoint)
    elif not rescale:
        training.validate(validation)  # what has learned already may be the best there is
    every = max(1, schedule.passes // schedule.validations)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[error]}"), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("training", total=schedule.passes, completed=training.done, error="")
        while not training.ended():
            start = time.process_time()
            training.learn(runs, rows[schedule.stage(training.done)])
            if training.done % every == 0 or training.done == schedule.passes:
                training.validate(validation)
            training.seconds += time.process_time() - start
            if training.validated() and checkpoint is not None:
                training.store(checkpoint)
            bar.update(task, completed=training.done, error=training.error_so_far())
    if not math.isfinite(training.best):
        raise ValueError("training diverged: no validation error was finite; lower the learning rate")
    network.load_state_dict(training.kept)
    network.eval()
    return Trained(training.best, training.history, training.data, training.seconds / 60)


def _optimisers(network: NeuronSurrogate, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for the network's maps, which learns recurrent ones in half the steps of Adam, and Adam for all else."""
    maps = network.maps()
    others = [p for p in network.parameters() if all(p is not m for m in maps)]
    rate, decay = schedule.learning_rate, schedule.weight_decay
    made: list[torch.optim.Optimizer] = []
    if maps:
        made.append(torch.optim.Muon(maps, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    if others:
        made.append(torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.99), weight_decay=decay))
    return made


class _Training:
    """All that changes while a network is trained."""

    def __init__(self, network: NeuronSurrogate, schedule: Schedule, data: str, outputs: str, start: str = "") -> None:
        self.network, self.schedule, self.data, self.outputs, self.start = network, schedule, data, outputs, start
        self.optimisers = _optimisers(network, schedule)
        self.generator = torch.Generator().manual_seed(schedule.seed)
        self.done, self.seconds = 0, 0.0
        self.best, self.kept = math.inf, {k: v.clone() for k, v in network.state_dict().items()}
        self.history: list[tuple[int, float]] = []

    def error_so_far(self) -> str:
        return f"validation error {self.best:.3f}" if self.history else ""

    def ended(self) -> bool:
        """Whether the schedule is through, or validation has shown for long that nothing more is learned."""
        errors = [error for _, error in self.history]
        waited = len(errors) - 1 - errors.index(min(errors)) if errors else 0
        return self.done >= self.schedule.passes or waited >= self.schedule.patience

    def validated(self) -> bool:
        """Whether nothing has been learned since the last validation."""
        return bool(self.history) and self.history[-1][0] == self.done

    def learn(self, runs: Runs, available: int) -> None:
        """One pass over a batch of the available first runs."""
        schedule = self.schedule
        size = min(schedule.batch, available)
        rows = torch.randperm(available, generator=self.generator)[:size]
        bins, state = runs.events.shape[1], None
        self.network.train()
        for first in range(0, bins, schedule.stretch_bins):
            window = slice(first, first + schedule.stretch_bins)
            target = Target(*(field[rows, window] for field in runs.target))
            for optimiser in self.optimisers:
                optimiser.zero_grad()
                for group in optimiser.param_groups:
                    group["lr"] = schedule.rate(self.done + first / bins)
            loss, state = self.network.loss(runs.events[rows, window], target, state, self.generator)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for optimiser in self.optimisers:
                optimiser.step()
        self.done += 1

    def validate(self, runs: Runs) -> None:
        """Keep the state if no earlier one ran as well."""
        self.network.eval()
        error = free_running_error(self.network, runs)
        self.history.append((self.done, error))
        if error < self.best:
            self.best = error
            self.kept = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def store(self, path: str | os.PathLike) -> None:
        tensors = {f"now.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"kept.{k}": v for k, v in self.kept.items()}
        for n, optimiser in enumerate(self.optimisers):
            for i, parameter in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser{n}.{i}.{k}": v for k, v in parameter.items()}
        # Dropout draws from the global generator.
        tensors |= {"generator": self.generator.get_state(), "global": torch.get_rng_state()}
        header = {"thing": "training", "format": _FORMAT, "schedule": self._about()}
        write_weights(path, header | {k: getattr(self, k) for k in _NUMBERS} | {"history": self.history}, tensors)

    def restore(self, path: str | os.PathLike) -> None:
        remedy = "name another file, or remove it to begin anew"
        header, tensors = read_weights(path, "training", _FORMAT, remedy)
        if header["schedule"] != self._about():
            raise ValueError(f"{path} is the checkpoint of another training ({header['schedule']}); {remedy}")

        def part(name: str) -> dict:
            return {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}

        try:
            self.network.load_state_dict(part("now."))
        except RuntimeError as error:
            raise ValueError(f"{path} is the checkpoint of another network ({error}); {remedy}") from error
        for n, optimiser in enumerate(self.optimisers):
            state: dict[int, dict] = {}
            for name, value in part(f"optimiser{n}.").items():
                i, key = name.split(".")
                state.setdefault(int(i), {})[key] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["global"])
        self.kept = part("kept.")
        for name in _NUMBERS:
            setattr(self, name, header[name])
        self.history = [(int(p), float(e)) for p, e in header["history"]]

    def _about(self) -> dict:
        things = {"network": type(self.network).__name__, "settings": self.network.settings}
        things |= {"data": self.data, "outputs": self.outputs} | ({"start": self.start} if self.start else {})
        return {k: list(v) if isinstance(v, tuple) else v for k, v in (asdict(self.schedule) | things).items()}
