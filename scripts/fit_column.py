"""Fit the column's gains until its rhythm of 10 Hz is one of 15-60 Hz, and see whether NEURON's column agrees.

    python scripts/fit_column.py                       3 optimiser seeds, emulator in rounds (15 minutes on two cores)
    python scripts/fit_column.py --seeds 10            as many as the study asks for
    python scripts/fit_column.py --methods rounds,wide,gradient,regression,cma,hnn_core
    python scripts/fit_column.py --neurons FOLDER      other surrogates than the shipped ones
    python scripts/fit_column.py --out FOLDER          keep what was found, and go on

Gains are fitted in the column of surrogates. Each found set is then simulated in NEURON, with hnn-core's cells and
connections, under drives that nothing has seen. rounds: an emulator that is taught again where its descent ended; wide:
the same emulator taught once; gradient: descent by damped back-propagation through time; regression: along slopes that
are regressed on columns nearby; cma: CMA-ES; hnn_core: its own Optimizer, in NEURON, for about ten times as long.

The last line is one JSON object: start_band_share (of NEURON's column as it comes), and for each method
optimiser_seeds, moved (seeds with the spectrum's peak in the band in at least 4 of 5 drives and all rates in 1-60 Hz),
band_share (median over seeds, in NEURON), rates_Hz, seconds a fit.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from column_methods import BAND, BAND_HZ, COLUMN, METHODS, MODEL
from rich.console import Console
from rich.progress import track
from rich.table import Table

from simulators.campaigns.workers import local_pool
from simulators.cells.hnn import CELL_TYPES
from simulators.column.connectivity import SHORT
from simulators.recording import Recording
from surrogates.network.column import COLUMN_NEURONS, SurrogateColumn

console = Console()
RATES_HZ = (1.0, 60.0)
DRIVES, DRIVE_SEED = 5, 9000


def fitted(neurons: tuple[str, ...], method: str, seed: int, path: Path) -> dict[str, Any]:
    """Gains and seconds of one fit, from the file if it is there and of these surrogates."""
    surrogate = SurrogateColumn(COLUMN, neurons)
    there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if there.get("surrogates") != list(surrogate.content):
        torch.set_num_threads(1)
        surrogate.simulate(np.zeros(len(COLUMN.free)), np.random.default_rng(0))  # compiled before the clock runs
        start = time.perf_counter()
        point = METHODS[method](surrogate, seed)
        seconds = round(time.perf_counter() - start, 1)
        there = {"gains": point.tolist(), "seconds": seconds, "surrogates": list(surrogate.content)}
        path.write_text(json.dumps(there), encoding="utf-8")
    return there


def in_neuron(gains: list[float], drive: int) -> Recording:
    return COLUMN.simulate(np.array(gains), np.random.default_rng([DRIVE_SEED, drive]))


def judged(recordings: list[Recording]) -> dict[str, Any]:
    """Band share, peaks and rates over drives."""
    features = np.stack([BAND.features(r) for r in recordings])
    centres = (BAND.edges_hz[1:] + BAND.edges_hz[:-1]) / 2
    peaks = centres[features[:, 2:].argmax(1) + 2]  # above 5 Hz
    rates = {}
    for t in CELL_TYPES:
        spikes = [r.steady[r.channels.index(f"{SHORT[t]} spikes")].sum() for r in recordings]
        rates[t] = float(np.mean(spikes) / len(MODEL.cells_of(t)) / (1e-3 * recordings[0].duration_ms))
    mean = np.log(np.exp(features).mean(0))
    return {
        "share": float(BAND.share(torch.as_tensor(mean)[None])),
        "peaks_hz": peaks.tolist(),
        "in_band": int(np.sum((peaks >= BAND_HZ[0]) & (peaks <= BAND_HZ[1]))),
        "rates_Hz": rates,
    }


def moved(one: dict[str, Any]) -> bool:
    low, high = RATES_HZ
    return one["in_band"] >= DRIVES - 1 and all(low <= rate <= high for rate in one["rates_Hz"].values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default="rounds")
    parser.add_argument("--neurons", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    if unknown := set(methods) - set(METHODS):
        parser.error(f"there is no method {', '.join(unknown)}; choose of {', '.join(METHODS)}")
    of = arguments.neurons
    neurons = COLUMN_NEURONS if of is None else tuple(str(of / f"{kind}.safetensors") for kind in CELL_TYPES)
    with tempfile.TemporaryDirectory() as temporary, local_pool(arguments.workers) as pool:
        folder = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tasks = [(method, seed) for method in methods for seed in range(arguments.seeds)]
        fits = [pool.submit(fitted, neurons, m, s, folder / f"{m}_{s}.json") for m, s in tasks]
        found = dict(zip(tasks, [f.result() for f in track(fits, "fits", transient=True)], strict=True))
        start = [pool.submit(in_neuron, [0.0] * len(COLUMN.free), d) for d in range(DRIVES)]
        checks = {t: [pool.submit(in_neuron, fit["gains"], d) for d in range(DRIVES)] for t, fit in found.items()}
        as_it_comes = judged([s.result() for s in start])
        verdicts = {
            t: judged([c.result() for c in cs]) for t, cs in track(list(checks.items()), "NEURON", transient=True)
        }
    out: dict[str, Any] = {
        "start_band_share": round(as_it_comes["share"], 3),
        "start_peaks_hz": as_it_comes["peaks_hz"],
    }
    table = Table("method", "seed", "share", "peaks, Hz", "rates, Hz", "seconds", title="found gains, in NEURON")
    table.add_row("as it comes", "", f"{as_it_comes['share']:.2f}", *_shown(as_it_comes), "")
    for (method, seed), one in verdicts.items():
        seconds = found[method, seed]["seconds"]
        table.add_row(method, str(seed), f"{one['share']:.2f}", *_shown(one), f"{seconds:.0f}")
    for method in methods:
        mine = [one for (m, _), one in verdicts.items() if m == method]
        out[method] = {
            "optimiser_seeds": len(mine),
            "moved": sum(map(moved, mine)),
            "band_share": round(float(np.median([one["share"] for one in mine])), 3),
            "rates_Hz": [{k: round(v, 1) for k, v in one["rates_Hz"].items()} for one in mine],
            "seconds": round(float(np.median([found[t]["seconds"] for t in tasks if t[0] == method]))),
        }
    console.print(table)
    print(json.dumps(out))


def _shown(one: dict[str, Any]) -> tuple[str, str]:
    return " ".join(f"{p:.0f}" for p in one["peaks_hz"]), " ".join(f"{r:.1f}" for r in one["rates_Hz"].values())


if __name__ == "__main__":
    main()
