"""The column out of surrogates held against the column in NEURON, on gains, drives and seeds that taught neither.

    python scripts/evaluate_column.py                        10 settings of 8.4 s each (15 minutes on two cores)
    python scripts/evaluate_column.py --settings 3 --runs 2  a quick look
    python scripts/evaluate_column.py --neurons FOLDER       other surrogates than the shipped ones
    python scripts/evaluate_column.py --out FOLDER           keep NEURON's runs there, and go on with those that are
    python scripts/evaluate_column.py --mesh 10,10 --settings 1 --runs 2    270 cells in place of 24 (15 minutes)

Both columns get the same drives. In each setting rates, dipole power and spectra are over all runs together. Then every
surrogate by itself is given what its cell received in NEURON. The last line is one JSON object:
settings_within_10_percent (share of settings in which all types of cell above 5 Hz have NEURON's rate within 10 %),
power_within_10_percent, spectrum_r_minus_split_half (of log spectra, 1-100 Hz: half of NEURON's runs against
surrogates under the drives of the other half, less the same against NEURON's own other half), by cell precision_2ms and
recall_2ms, by layer dipole_r; l5_rate_Hz as it comes and with L5i_L5e raised, in both.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import welch

from simulators.campaigns.workers import local_pool
from simulators.cells.hnn import CELL_TYPES
from simulators.column.connectivity import ColumnModel
from simulators.column.every_cell import EveryCell, wide_column
from simulators.column.simulator import ColumnSimulator
from surrogates.network.column import COLUMN_NEURONS, SurrogateColumn
from surrogates.neurons.measures.scores import correlation, match_spikes
from surrogates.neurons.trained import load_neuron

console = Console()
SEED = 7000
GAINS, RUN_MS, TRANSIENT_MS = 0.5, 1400.0, 200.0
BIN_MS = 0.5
LAYERS = {"L2": "L2_pyramidal", "L5": "L5_pyramidal"}


def settings(n: int, mesh: tuple[int, int] = (3, 3)) -> tuple[ColumnSimulator, np.ndarray]:
    """The column, and thetas: as it comes, with L5i_L5e raised, then drawn from within those that taught."""
    column = ColumnSimulator(
        ColumnModel(mesh=mesh),
        free=wide_column().free,
        record=("layers", "spikes"),
        duration_ms=RUN_MS - TRANSIENT_MS,
        transient_ms=TRANSIENT_MS,
    )
    names, space = column.parameters.names, column.parameters
    plain = np.array([120.0 if name == "noise_rate_Hz" else 0.0 for name in names])
    raised = plain.copy()
    raised[names.index("L5i_L5e")] = 0.8
    gains = np.array([name in column.model.pairs for name in names])
    drawn = []
    for k in range(n):  # each by itself: how many there are changes none of them
        rng = np.random.default_rng([SEED, k])
        drawn.append(np.where(gains, rng.uniform(-GAINS, GAINS, len(names)), space.sample(1, rng)[0]))
    return column, np.stack([plain, raised, *drawn])


def in_neuron(column: ColumnSimulator, theta: np.ndarray, seed: list[int], path: Path) -> None:
    """One run of the column in NEURON with all that its cells received, into a file, unless it is there.

    Raises ValueError where the file is of another setting.
    """
    if path.is_file():
        if not np.array_equal(np.load(path)["theta"], theta):
            raise ValueError(f"{path} is of other gains or drives; name another folder")
        return
    recording = EveryCell(column).simulate(theta, np.random.default_rng(seed))
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, values=recording.values, theta=theta)
    partial.replace(path)


def spectrum(dipoles: np.ndarray) -> np.ndarray:
    """Mean power spectral density of runs at 1 ... 100 Hz, log10."""
    f, p = welch(dipoles, 1e3 / BIN_MS, nperseg=1000, nfft=2000, detrend="constant")
    return np.log10(p[..., (f >= 1) & (f <= 100)].mean(0))


def one_setting(column: ColumnSimulator, surrogate: SurrogateColumn, theta: np.ndarray, runs: list[Path], number: int):
    """What both columns do in one setting, and every surrogate with its cell's true inputs."""
    cells, skip = EveryCell(column).cells, round(TRANSIENT_MS / BIN_MS)
    values = [np.load(path)["values"] for path in runs]
    drives = [column.events(theta, np.random.default_rng([SEED, number, k])) for k in range(len(runs))]
    run = SurrogateColumn(surrogate.column, surrogate.neurons, len(runs)).run(np.tile(theta, (len(runs), 1)), drives)
    found: dict[str, Any] = {"rates": {}, "forced": {}, "dipoles": {}}
    true, free = np.zeros((len(values), 1)), np.zeros((len(values), 1))
    for kind in CELL_TYPES:
        mine = [c for c in cells if c.kind == kind]
        at = column.model.cells_of(kind)
        spikes = np.stack([v[c.first + 1] for v in values for c in mine])
        seconds = 1e-3 * BIN_MS * (spikes.shape[1] - skip)
        found["rates"][kind] = [
            float(spikes[:, skip:].sum(1).mean() / seconds),
            float(run.spikes[:, at, skip:].sum(2).mean() / seconds),
        ]
        neuron = load_neuron(surrogate.neurons[CELL_TYPES.index(kind)])
        events = np.stack([v[c.end - c.synapses : c.end].T for v in values for c in mine])
        response = neuron.network.respond(torch.from_numpy(np.ascontiguousarray(events, np.float32)))
        matched = match_spikes(response.spikes[:, skip:], torch.from_numpy(spikes[:, skip:]), BIN_MS, 2.0)
        found["forced"][kind] = [matched.matched, matched.predicted, matched.true]
        for layer in (name for name, pyramidal in LAYERS.items() if pyramidal == kind):
            own = np.stack([v[[c.first + 2 for c in mine]].sum(0)[skip:] for v in values])
            alone = response.outputs[..., 0].numpy().reshape(len(values), len(mine), -1).sum(1)[:, skip:]
            found["dipoles"][layer] = correlation(*(x - x.mean(1, keepdims=True) for x in (own, alone)))
            true, free = true + own, free + run.summed[:, CELL_TYPES.index(kind), skip:]
    found["power"] = float(free.var(1).mean() / true.var(1).mean())
    found["r"], found["split_half_r"] = halves(true, free), halves(true, true)
    return found


def halves(true: np.ndarray, other: np.ndarray) -> float:
    """r of the log spectra of one half of NEURON's runs and of the other half of others; both ways round."""
    pairs = (true[::2], other[1::2]), (true[1::2], other[::2])
    return float(np.mean([np.corrcoef(spectrum(a), spectrum(b))[0, 1] for a, b in pairs]))


def show(found: list[dict[str, Any]]) -> None:
    table = Table("setting", *(f"{kind}, Hz" for kind in CELL_TYPES), "dipole power", "r of log spectra", "split half")
    for k, one in enumerate(found):
        rates = [f"{a:.1f} -> {b:.1f}" for a, b in one["rates"].values()]
        table.add_row(str(k), *rates, f"{one['power']:.2f}", f"{one['r']:.3f}", f"{one['split_half_r']:.3f}")
    table.title = "NEURON -> surrogates"
    console.print(table)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    unseen = found[2:]
    near = [all(abs(b - a) <= 0.1 * a for a, b in one["rates"].values() if a > 5) for one in unseen]
    counts = {kind: np.sum([one["forced"][kind] for one in unseen], axis=0) for kind in CELL_TYPES}
    return {
        "settings": len(unseen),
        "settings_within_10_percent": round(float(np.mean(near)), 3),
        "power_within_10_percent": round(float(np.mean([abs(one["power"] - 1) <= 0.1 for one in unseen])), 3),
        "power_ratio": [round(one["power"], 3) for one in unseen],
        "spectrum_r_minus_split_half": round(float(np.mean([one["r"] - one["split_half_r"] for one in unseen])), 3),
        "precision_2ms": {kind: round(float(m / p), 3) for kind, (m, p, _) in counts.items()},
        "recall_2ms": {kind: round(float(m / t), 3) for kind, (m, _, t) in counts.items()},
        "dipole_r": {layer: round(float(np.mean([one["dipoles"][layer] for one in unseen])), 3) for layer in LAYERS},
        "l5_rate_Hz": {
            name: dict(zip(("neuron", "surrogate"), np.round(one["rates"]["L5_pyramidal"], 2).tolist(), strict=True))
            for name, one in zip(("as it comes", "L5i_L5e + 0.8"), found, strict=False)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=10)
    parser.add_argument("--runs", type=int, default=7, help="runs of a setting, 1.2 s each after a transient of 0.2 s")
    parser.add_argument("--neurons", type=Path, help="folder of surrogates; the shipped ones by default")
    parser.add_argument("--out", type=Path, help="folder for NEURON's runs")
    parser.add_argument("--mesh", default="3,3", help="pyramidal cells of a layer, as 10,10")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.runs < 2 or arguments.settings < 1:
        parser.error("--runs takes 2 or more, which are halved, and --settings 1 or more")
    torch.set_num_threads(1)
    rows, columns = (int(x) for x in arguments.mesh.split(","))
    column, thetas = settings(arguments.settings, (rows, columns))
    of = arguments.neurons
    neurons = COLUMN_NEURONS if of is None else tuple(str(of / f"{kind}.safetensors") for kind in CELL_TYPES)
    surrogate = SurrogateColumn(column, neurons)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        runs = [[folder / f"{k}_{r}.npz" for r in range(arguments.runs)] for k in range(len(thetas))]
        with local_pool(arguments.workers) as pool:
            jobs = [
                pool.submit(in_neuron, column, theta, [SEED, k, r], path)
                for k, (theta, paths) in enumerate(zip(thetas, runs, strict=True))
                for r, path in enumerate(paths)
            ]
            for job in track(jobs, "columns in NEURON", transient=True):
                job.result()
        found = [
            one_setting(column, surrogate, theta, paths, k)
            for k, (theta, paths) in enumerate(zip(thetas, track(runs, "surrogates", transient=True), strict=True))
        ]
    show(found)
    print(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
