"""The shipped surrogates on unseen runs, beside the ceiling that NEURON itself sets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from rich.table import Table

from neuron_experiments.figure1 import ACTIVE_MS
from neuron_experiments.study import Study
from simulators.campaigns.run import run_campaign
from simulators.cells.simulator import CellSimulator
from surrogates.neurons.interface import Response, Target
from surrogates.neurons.measures.experiments import Jittered
from surrogates.neurons.measures.scores import score
from surrogates.neurons.trained import TrainedNeuron
from surrogates.neurons.training.curricula import CURRICULA
from surrogates.neurons.training.data import Runs, join, read_runs

_SEED = 3_000_000  # far from those of curricula and of the figures


class Compared(NamedTuple):
    """A surrogate's answers to unseen events, and NEURON's own: as in training, with half its step, with jitter."""

    runs: Runs
    surrogate: Response
    half_step: Response
    jittered: Response


def shipped(study: Study, runs: int | None = None, duration_ms: float | None = None) -> dict[str, Any]:
    """Scores of each surrogate that is shipped or named: of all regimes together, and by regime."""
    found: dict[str, Any] = {}
    for k, name in enumerate(CURRICULA):
        if not study.ready(name):
            continue
        neuron, curriculum = study.default(name), CURRICULA[name]
        regimes = {}
        for j, regime in enumerate(curriculum.regimes):
            simulator = replace(curriculum.simulator(regime), batch_size=10)
            if duration_ms is not None:
                simulator = replace(simulator, duration_ms=duration_ms)
            label, seed = f"{name}_{regime.name}", _SEED + 10_000 * study.seed + 100 * k + j
            if name == "point" and regime is curriculum.regimes[-1]:
                simulator = replace(simulator, duration_ms=duration_ms or ACTIVE_MS)
            n = runs or (50 if name == "point" else 20)
            regimes[regime.name] = compared(study, neuron, simulator, label, n, seed)
        if name == "point":
            active = regimes.pop("active")
            found["active_point"] = _scores(active, neuron) | {
                "regimes": {r: _scores(c, neuron) for r, c in regimes.items()}
            }
        else:
            everything = _joined(list(regimes.values()))
            found[name.lower()] = _scores(everything, neuron) | {
                "regimes": {r: _scores(c, neuron) for r, c in regimes.items()}
            }
    return found


def compared(study: Study, neuron: TrainedNeuron, simulator: CellSimulator, label: str, n: int, seed: int) -> Compared:
    """Of ``n`` runs of one regime."""
    folder = study.data / "shipped"
    folder.mkdir(parents=True, exist_ok=True)
    dt = simulator.dt_ms
    # The same seeds: the same thetas and events for all three.
    simulators = {
        "as_trained": simulator,
        "half_step": replace(simulator, dt_ms=dt / 2),
        "jittered": replace(simulator, protocol=Jittered(simulator.protocol, dt)),
    }
    campaigns = {
        k: run_campaign(s, n, seed, folder / f"{label}_{n}_{seed}_{k}.zarr", study.workers)
        for k, s in simulators.items()
    }
    runs, *others = (read_runs(campaigns[k], s) for k, s in simulators.items())
    if any(len(part) != n for part in (runs, *others)):
        raise RuntimeError(f"some simulations of {label} in {folder} failed, so that the rest has no counterparts")
    return Compared(runs, study.answer(neuron, runs), *(Response(*part.target) for part in others))


def _joined(parts: Sequence[Compared]) -> Compared:
    responses = [
        Response(*(torch.cat(field) for field in zip(*kind, strict=True)))
        for kind in zip(*(p[1:] for p in parts), strict=True)
    ]
    return Compared(join([p.runs for p in parts]), *responses)


def _scores(c: Compared, neuron: TrainedNeuron) -> dict[str, Any]:
    names, bin_ms = [o.name for o in neuron.outputs], neuron.network.bin_ms
    target: Target = c.runs.target
    ceiling = {
        kind: score(answer, target, bin_ms, names).to_json()
        for kind, answer in (("half_step", c.half_step), ("jittered", c.jittered))
    }
    return score(c.surrogate, target, bin_ms, names).to_json() | {"ceiling": ceiling}


def shipped_table(found: dict[str, Any]) -> Table:
    """For each cell and regime the surrogate, and NEURON with half its step and with jittered events."""
    spikes = [f"spikes {t} ms: precision, recall" for t in (1, 2, 10)]
    columns = ("cell", "inputs", "who", *spikes, "variance explained", "subthreshold r", "rate, Hz", "in NEURON")
    table = Table(*columns, title="surrogates, free-running on unseen runs, and NEURON's own limit")
    for cell, figures in found.items():
        first = "10 s, published" if cell == "active_point" else "all"
        for inputs, part in {first: figures, **figures["regimes"]}.items():
            ceiling = part["ceiling"]
            kinds = {"surrogate": part, "NEURON dt/2": ceiling["half_step"], "events +-dt": ceiling["jittered"]}
            for who, scores in kinds.items():
                pairs = [f"{_said(scores[f'precision_{t}ms'])} {_said(scores[f'recall_{t}ms'])}" for t in (1, 2, 10)]
                values = [f"{scores[name]:.3f}" for name in ("variance_explained", "subthreshold_r")]
                rates = [f"{scores[name]:.2f}" for name in ("predicted_rate_Hz", "rate_Hz")]
                table.add_row(cell, inputs, who, *pairs, *values, *rates)
    return table


def _said(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
