"""The loss of a simulator's parameters, one noisy simulation at a time: counted, logged, confirmed, and resumable."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from inference.fitting.targets import Target, refuse_contradictions, total_loss
from simulators.campaigns.rows import simulate_rows
from simulators.interface import Simulator
from simulators.provenance import describe

FAILED_LOSS = 10.0
"""Of a simulation that failed, or a target that nothing can be said of, such as the spectrum of a silent channel."""

Search = Callable[["Objective", Float[np.ndarray, " n_parameters"], np.random.Generator], None]
"""Calls the objective again and again, from a place in the unit cube, until that raises ``SearchEnded``."""


class SearchEnded(Exception):
    """The targets are met, or as many simulations are made as were allowed."""


class Evaluation(NamedTuple):
    """One place. features: of each target, the mean over ``simulations`` of them, NaN where there are none; state:
    "ok", "silent" (a target has nothing to go by) or "failed", with the reason."""

    u: Float[np.ndarray, " n_parameters"]
    loss: float
    features: list[Float[np.ndarray, " features"]]
    simulations: int
    state: str


@dataclass(eq=False)
class Objective:
    """Weighted losses of ``targets`` over the unit cube of a simulator's parameters.

    Arguments:
        budget: simulations, those that confirm included.
        confirmations: simulations with other seeds at a place whose loss is small enough; it solves the task if the
            loss of the mean features is, too.
        tolerance: loss that is small enough.
        seed: of the simulations: the same one gives the same search.
        log: a file of JSON lines, one a simulation. A search that was stopped goes on where it was: what is in the file
            is not simulated again.

    Raises ValueError for targets that contradict each other, or the log of another search.
    """

    simulator: Simulator
    targets: Sequence[Target]
    budget: int = 200
    confirmations: int = 3
    tolerance: float = 0.0
    seed: int = 0
    log: str | os.PathLike | None = None
    progress: bool = False
    simulations: int = field(init=False, default=0)
    best: Evaluation | None = field(init=False, default=None)
    solved: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("nothing is wanted; give one or more targets")
        if self.budget < 1 or self.confirmations < 0 or not 0 <= self.tolerance < np.inf:
            raise ValueError(
                f"{self.budget} simulations, {self.confirmations} to confirm a loss of {self.tolerance}; expected one "
                f"or more, and nothing negative"
            )
        refuse_contradictions(self.targets)
        self._logged = self._read_log()

    def search(self, method: Search, start: Float[np.ndarray, " n_parameters"], seed: int = 0) -> Evaluation:
        """Let a method search from theta ``start``; the place that solves the task, or the best one there was.

        Raises ValueError for a start outside the box.
        """
        space = self.simulator.parameters
        u = space.to_unit(space.check(start))
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, disable=not self.progress, transient=True) as bar:
            self._bar = bar, bar.add_task("searching", total=self.budget, said="")
            with suppress(SearchEnded):
                method(self, u, np.random.default_rng(seed))
        assert self.best is not None
        return self.best

    def __call__(self, u: Float[np.ndarray, " n_parameters"], **note: Any) -> Evaluation:
        """Simulate at a place of the unit cube, and again where that looks like a solution. note: for the log.

        Raises SearchEnded when the task is solved or the budget is spent.
        """
        found = self._simulated(np.clip(u, 0, 1), note)
        try:
            if found.loss <= self.tolerance:
                for _ in range(self.confirmations):
                    found = self._joined(found, self._simulated(found.u, {"confirms": True}))
        finally:  # the budget may end while a place is confirmed
            self._keep(found)
        return self._unless_solved(found)

    def again(self, found: Evaluation, **note: Any) -> Evaluation:
        """One more simulation at a place, taken into its mean. Raises SearchEnded as a call does."""
        again = self._joined(found, self._simulated(found.u, note))
        if self.best is found:
            self.best = again
        return self._unless_solved(again)

    def _keep(self, found: Evaluation) -> None:
        if self.best is None or found.loss < self.best.loss:
            self.best = found

    def _unless_solved(self, found: Evaluation) -> Evaluation:
        """Raises SearchEnded where as many simulations as confirm have a loss that is small enough."""
        if found.loss <= self.tolerance and found.simulations > self.confirmations:
            self.best, self.solved = found, True
            raise SearchEnded
        return found

    def _joined(self, one: Evaluation, other: Evaluation) -> Evaluation:
        n, m = one.simulations, other.simulations
        features = [(n * a + m * b) / (n + m) for a, b in zip(one.features, other.features, strict=True)]
        state = one.state if one.state != "ok" else other.state
        return Evaluation(one.u, self._loss(features), features, n + m, state)

    def _loss(self, features: Sequence[np.ndarray]) -> float:
        """Targets that nothing can be said of count ``FAILED_LOSS``, whatever their weight."""
        known = [(t, x) for t, x in zip(self.targets, features, strict=True) if np.isfinite(x).all()]
        lost = FAILED_LOSS * (len(features) - len(known))
        if not known:
            return lost
        return lost + float(total_loss([t for t, _ in known], [torch.as_tensor(x[None]) for _, x in known])[0])

    def _simulated(self, u: Float[np.ndarray, " n_parameters"], note: Mapping[str, Any]) -> Evaluation:
        if self.simulations >= self.budget:
            raise SearchEnded
        row = self._from_log(u)
        if row is None:
            row = self._row(u)
            row["note"] = dict(note)
            self._write(row)
        self.simulations += 1
        features = [np.array([np.nan if v is None else v for v in x]) for x in row["features"]]
        found = Evaluation(u, self._loss(features), features, 1, row["state"])
        bar, task = self._bar
        least = found.loss if self.best is None else min(self.best.loss, found.loss)
        bar.update(task, completed=self.simulations, said=f"loss {least:.3g}")
        return found

    def _row(self, u: Float[np.ndarray, " n_parameters"]) -> dict[str, Any]:
        space = self.simulator.parameters
        seed = np.random.SeedSequence(self.seed, spawn_key=(self.simulations,))
        theta = np.clip(space.from_unit(u), space.low, space.high)
        (row,) = simulate_rows(self.simulator, [(self.simulations, theta, seed)])
        if row.recording is None:
            features, state = [np.full(1, np.nan) for _ in self.targets], f"failed: {row.reason}"
        else:
            features = [target.features(row.recording) for target in self.targets]
            silent = any(np.isnan(x).any() for x in features)
            state = "silent: a target's channel never changes" if silent else "ok"
        told = [[None if np.isnan(v) else float(v) for v in x] for x in features]
        return {"u": u.tolist(), "theta": theta.tolist(), "state": state, "features": told}

    # --- the log ---

    def _header(self) -> dict[str, Any]:
        wanted = [{"class": type(t).__name__} | _numbers(t) for t in self.targets]
        about = {"simulator": describe(self.simulator), "parameters": self.simulator.parameters.to_json()}
        return json.loads(json.dumps(about | {"targets": wanted, "seed": self.seed}))

    def _read_log(self) -> list[dict[str, Any]]:
        if self.log is None or not Path(self.log).is_file():
            return []
        text = Path(self.log).read_bytes()
        whole = text[: text.rfind(b"\n") + 1]  # a line that a kill cut short has no end
        try:
            header, *rows = [json.loads(line) for line in whole.decode().splitlines()]
        except ValueError as error:
            raise ValueError(f"{self.log} is no log of a search ({error}); name another file") from error
        if header != self._header():
            raise ValueError(f"{self.log} is the log of another search; name another file, or remove it to begin anew")
        for number, row in enumerate(rows):
            if not self._is_row(row):
                raise ValueError(f"line {number + 2} of {self.log} is no simulation of this search; name another file")
        os.truncate(self.log, len(whole))
        return rows

    def _is_row(self, row: Any) -> bool:
        """Whether a line of the log has what ``_row`` makes."""
        if not isinstance(row, dict) or not isinstance(row.get("state"), str):
            return False
        lists = [row.get("u"), *(row["features"] if isinstance(row.get("features"), list) else ())]
        numbers = all(isinstance(x, list) and all(isinstance(v, int | float | None) for v in x) for x in lists)
        return numbers and len(lists[0]) == len(self.simulator.parameters) and len(lists) == 1 + len(self.targets)

    def _from_log(self, u: Float[np.ndarray, " n_parameters"]) -> dict[str, Any] | None:
        if self.simulations >= len(self._logged):
            return None
        row = self._logged[self.simulations]
        if not np.allclose(row["u"], u, rtol=0, atol=1e-9):
            raise ValueError(
                f"{self.log} took another way from simulation {self.simulations} on: it is the log of a search with "
                f"other settings; name another file, or remove it to begin anew"
            )
        return row

    def _write(self, row: dict[str, Any]) -> None:
        if self.log is None:
            return
        begins = self.simulations == 0
        lines = [json.dumps(x) for x in ([self._header()] if begins else []) + [row]]
        with open(self.log, "w" if begins else "a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))


def _numbers(target: Target) -> dict[str, Any]:
    """What a target is but for a recording that it is to be like."""
    values = {f.name: getattr(target, f.name) for f in fields(target)}
    return {name: v for name, v in values.items() if isinstance(v, int | float | str | tuple)}
