"""Training of the published architectures as published, for as many minutes as there are."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from surrogates.neurons.architectures.published import WindowSurrogate
from surrogates.neurons.interface import Target
from surrogates.neurons.training.data import Runs, join
from surrogates.weights import read_weights, write_weights

RUNS, WINDOWS = 16, 4
"""Windows of a batch: 64, as published."""
_UPDATES = 500  # of each stage but the last, and between validations
_RISE = 1500  # updates in which the learning rate rises; at once, it silences the CNN-LSTM's first dense layer for good
_VALIDATION_BATCHES = 50
_STORED_S = 30.0
_FORMAT = 2
_RATE = 1e-3
# On a processor: of this process alone, so that others beside it do not shorten the training.
_CLOCKS = {"cpu": time.process_time}
_NUMBERS = ("seconds", "updates", "best", "stage")

Optimiser = Callable[..., torch.optim.Optimizer]


def train_published(
    network: WindowSurrogate,
    stages: Sequence[Runs],
    validation: Runs,
    minutes: float,
    path: Path,
    *,
    optimiser: Optimiser = torch.optim.NAdam,
    only: nn.Module | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Squared one-step error, Nadam, gradients of norm 1 at most; stages one after the other, earlier ones mixed in.

    The state whose one-step error is the least on validation runs is left in ``network``. Training ends with its
    minutes and not before: where it went on for half a day, a pause of that error is no end. All is kept at ``path``:
    called again it goes on where it was, with more minutes further.
    only: the part that learns; the rest, and what inputs and outputs are scaled by, stay as they are.
    """
    if only is None:
        network.scale_to(*join(stages))
    for parameter in network.parameters():
        parameter.requires_grad_(only is None)
    if only is not None:
        only.requires_grad_(True)
    network.to(device)
    learning = [p for p in network.parameters() if p.requires_grad]
    training = _Fit(network, optimiser(learning, lr=_RATE), path, device, seed)
    training.run([_on(r, device) for r in stages], _on(validation, device), 60 * minutes)
    return {"minutes": training.seconds / 60, "updates": training.updates, "one_step_loss": training.best}


def _on(runs: Runs, device: str) -> Runs:
    return Runs(runs.events.to(device), Target(*(field.to(device) for field in runs.target)))


class _Fit:
    """All that changes during a training.

    The optimiser's averages are part of it: without them, each time it goes on, it would begin with steps too large.
    """

    def __init__(
        self,
        network: WindowSurrogate,
        optimiser: torch.optim.Optimizer,
        path: Path,
        device: str,
        seed: int,
    ) -> None:
        self.network, self.optimiser, self.path, self.device = network, optimiser, path, device
        self.seconds, self.updates, self.best, self.stage = 0.0, 0, float("inf"), 0
        self.kept = _copy(network)
        if path.is_file():
            self._restore()
        self.generator = torch.Generator().manual_seed(seed + self.updates)

    def run(self, stages: Sequence[Runs], validation: Runs, seconds: float) -> None:
        rows = [sum(len(s) for s in stages[: k + 1]) for k in range(len(stages))]
        runs, stored = join(stages), self.seconds
        clock = _CLOCKS.get(self.device, time.perf_counter)
        while self.seconds < seconds:
            start = clock()
            due = min(self.updates // _UPDATES, len(stages) - 1)
            if due > self.stage:
                # What was best for the easier runs need not be for all of them.
                self.stage, self.best = due, float("inf")
            self.network.train()
            for _ in range(_UPDATES):
                self._update(runs, rows[self.stage])
                if self.seconds + clock() - start >= seconds:
                    break
            self._validate(validation)
            self.seconds += clock() - start
            if self.seconds - stored > _STORED_S:
                self._store()
                stored = self.seconds
        self._store()
        self.network.load_state_dict(self.kept)
        self.network.to("cpu").eval()

    def _update(self, runs: Runs, available: int) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (1 + self.updates) / _RISE)
        rows = torch.randint(available, (RUNS,), generator=self.generator).to(self.device)
        target = Target(*(field[rows] for field in runs.target))
        loss, _ = self.network.loss(runs.events[rows], target, None, self.generator)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.updates += 1

    @torch.no_grad()
    def _validate(self, runs: Runs) -> None:
        self.network.eval()
        generator = torch.Generator().manual_seed(0)
        losses = [self.network.loss(*runs, None, generator)[0].item() for _ in range(_VALIDATION_BATCHES)]
        error = sum(losses) / len(losses)
        if error < self.best:
            self.best = error
            self.kept = _copy(self.network)

    def _store(self) -> None:
        numbers = {k: getattr(self, k) for k in _NUMBERS}
        tensors = {f"now.{k}": v.cpu() for k, v in self.network.state_dict().items()}
        tensors |= {f"kept.{k}": v.cpu() for k, v in self.kept.items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": v.cpu() for k, v in state.items()}
        about = {"thing": "published training", "format": _FORMAT, "settings": self.network.settings}
        write_weights(self.path, about | numbers, tensors)

    def _restore(self) -> None:
        remedy = "remove it to begin anew, or name another folder"
        header, tensors = read_weights(self.path, "published training", _FORMAT, remedy)
        if header["settings"] != self.network.settings:
            raise ValueError(f"{self.path} is the training of another network ({header['settings']}); {remedy}")
        for name in _NUMBERS:
            setattr(self, name, header[name])
        kinds = "now.", "kept.", "optimiser."
        now, kept, averages = ({k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in kinds)
        self.network.load_state_dict(now)
        self.kept = kept
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in averages.items():
            i, key = name.split(".")
            states.setdefault(int(i), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in network.state_dict().items()}
