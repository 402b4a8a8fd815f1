"""The Rett microcircuit of Oláh et al. (2022, figs. 8-9) out of surrogates: published, in NEURON, mapped, inferred.

    python scripts/reproduce_rett.py                       everything (10 minutes on two cores)
    python scripts/reproduce_rett.py --quick               a few networks of each (2 minutes)
    python scripts/reproduce_rett.py --parts map,posterior some of conditions, neuron, map, posterior
    python scripts/reproduce_rett.py --figure FILE         draw the map, too

150 L5 pyramidal cells run for 100 ms, are stimulated, and run on. A network is stable if fewer spikes than it has cells
came before the stimulus; its response is the number of cells that fire within 10 ms of it. Conditions leave all else as
in the wild type. What they are over all networks of the map, in its nearest row or column, stands beside: the paper
does not say which it means. In NEURON networks have the same connections, background and plasticity, and steps of
.025 ms. Seconds are those of one core.

The last line is one JSON object: conditions and over_map by name with networks, before and evoked (mean, standard
deviation) and stable_percent; inhibition the same by connectivity and inhibitory quanta; neuron: of each network before
and evoked in NEURON and of surrogates, of all_spikes precision_2ms and recall_2ms, and seconds_per_100_ms; map:
networks, seconds, and neuron_hours, extrapolated; posterior: by what is seen of a network error (% of the range) and
coverage, on fresh networks of surrogates and on those in NEURON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.evaluation.scores import Score, score_all
from inference.features.evoked import EvokedResponse
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.reports.comparison import compare_tables
from inference.reports.style import plain
from inference.workflows.study import Study, split_rows
from inference.workflows.train import train
from simulators.campaigns.run import run_campaign
from simulators.campaigns.workers import local_pool
from simulators.cells.hnn import HNNCell
from simulators.cells.inputs import SynapticEvents
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.network.circuit import Links
from surrogates.network.microcircuit import RELEASE, RETT, WILD_TYPE, Microcircuit
from surrogates.neurons.measures.scores import match_spikes

console = Console()
PARTS = ("conditions", "neuron", "map", "posterior")
INHIBITION = Parameter("inhibitory_quantum", "1", 0.0, 2.0, "Inhibitory conductances of the background, relative")
LONG = Microcircuit(ParameterSpace((*RETT, INHIBITION)))
CIRCUIT = replace(LONG, after_ms=50.0)  # all that is counted is over by then
LASTING_MS, MAPPED_MS = (c.before_ms + c.after_ms for c in (LONG, CIRCUIT))
BIN_MS, STEP_MS, EVOKED_MS = 0.5, 0.025, 10.0
BATCH = 40  # networks side by side
KEPT = ("error_percent", "coverage50", "coverage90", "warned")
SEEDS = {"conditions": 1, "inhibition": 2, "neuron": 3, "map": 4, "posterior": 5}


class Condition(NamedTuple):
    """What is changed, and what was published of it: spikes before the stimulus, cells that it evokes, stability."""

    theta: tuple[float, float, float]
    before: str = ""
    evoked: str = ""
    stable: str = ""


CONDITIONS = {
    "wild type (10 %)": Condition((10.0, 1.0, 1.0), "322 ± 200", "134.8 ± 21.4", "34 %"),
    "7.8 %": Condition((7.8, 1.0, 1.0), stable="54 %"),
    "5.3 %": Condition((5.3, 1.0, 1.0), stable="64 %"),
    "5.2 %": Condition((5.2, 1.0, 1.0), "158 ± 193", "112.7 ± 35.0"),
    "quanta × 0.75": Condition((10.0, 0.75, 1.0), "17.9 ± 61.6", "147.6 ± 17.2"),
    "quanta × 1.25": Condition((10.0, 1.25, 1.0), "389 ± 170", "119.2 ± 18.1"),
}
INHIBITORY_QUANTA, BELOW_NINE = (0.5, 1.0, 1.5), (5.0, 7.0, 8.9)
IN_NEURON: list[tuple[float, ...]] = [
    (10.0, 1.0, 1.0),
    (10.0, 1.0, 1.0),
    (10.0, 1.25, 1.0),
    (10.0, 0.75, 1.0),
    (5.2, 1.0, 1.0),
]


class Counted(NamedTuple):
    """Of networks: spikes before the stimulus, and cells that fire within some ms of it."""

    before: np.ndarray
    evoked: np.ndarray

    @classmethod
    def of(cls, spikes: np.ndarray) -> "Counted":
        stimulus, end = (round(t / BIN_MS) for t in (CIRCUIT.before_ms, CIRCUIT.before_ms + EVOKED_MS))
        return cls(spikes[..., :stimulus].sum((-2, -1)), (spikes[..., stimulus:end] > 0).any(-1).sum(-1))

    @property
    def stable(self) -> np.ndarray:
        """Whether each network is."""
        return self.before < CIRCUIT.cells

    def summary(self) -> dict[str, Any]:
        both = {name: [round(float(f(x)), 1) for f in (np.mean, np.std)] for name, x in self._asdict().items()}
        return {"networks": self.before.size, **both, "stable_percent": round(100 * float(self.stable.mean()), 1)}


def counted(thetas: np.ndarray, seeds: list[list[int]]) -> tuple[np.ndarray, float]:
    """Spikes before and cells evoked of networks side by side, and seconds of this core."""
    start = time.process_time()
    run = CIRCUIT.run(thetas, [np.random.default_rng(seed) for seed in seeds])
    return np.stack(Counted.of(run.spikes)), time.process_time() - start


def ready() -> float:
    """Compile in a worker, before the clock runs."""
    return counted(np.array([list(WILD_TYPE.values())]), [[0]])[1]


def networks(thetas: np.ndarray, seed: int, pool: Executor, label: str) -> tuple[Counted, float]:
    """All networks, the same whatever the number of workers, and the seconds of one core that they took."""
    seeds = [[seed, k] for k in range(len(thetas))]
    parts = range(0, len(thetas), BATCH)
    running = [pool.submit(counted, thetas[k : k + BATCH], seeds[k : k + BATCH]) for k in parts]
    found = [r.result() for r in track(running, label, transient=True)]
    return Counted(*np.concatenate([counts for counts, _ in found], 1)), sum(seconds for _, seconds in found)


def by_condition(thetas: Iterable[tuple], n: int, seed: int, pool: Executor, label: str) -> list[dict[str, Any]]:
    thetas = list(thetas)
    all_of_them, _ = networks(np.repeat(thetas, n, 0), seed, pool, label)
    before, evoked = (x.reshape(len(thetas), n) for x in all_of_them)
    return [Counted(b, e).summary() for b, e in zip(before, evoked, strict=True)]


def map_axes(size: int) -> list[np.ndarray]:
    """Connectivities (%) and quantal sizes of the map; with 20 of each, 10 % and 0.75, 1 and 1.25 are among them."""
    connectivity, quantal_size = RETT
    return [
        np.linspace(connectivity.low, connectivity.high, size),
        np.linspace(quantal_size.high, quantal_size.low, size, endpoint=False)[::-1],
    ]


def mapped(size: int, repeats: int, pool: Executor) -> tuple[Counted, float]:
    """Counts by connectivity, quantal size and repeat, and seconds of one core."""
    grid = np.array([(c, q, 1.0) for c, q in product(*map_axes(size))])
    found, seconds = networks(np.repeat(grid, repeats, 0), SEEDS["map"], pool, "map")
    return Counted(*(x.reshape(size, size, repeats) for x in found)), seconds


def over_map(found: Counted, size: int) -> dict[str, dict[str, Any]]:
    """Conditions of the paper as all networks of the map in its nearest row or column."""
    rows = {}
    for name, condition in CONDITIONS.items():
        k = 1 if "quanta" in name else 0
        nearest = int(np.abs(map_axes(size)[k] - condition.theta[k]).argmin())
        rows[name] = Counted(*(x.take(nearest, k) for x in found)).summary()
    return rows


def map_figure(found: Counted, size: int) -> Figure:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    x, y = map_axes(size)
    for ax, values, title in zip(
        figure.subplots(1, 2), found, ("spikes before the stimulus", "cells that the stimulus makes fire"), strict=True
    ):
        image = ax.pcolormesh(x, y, values.mean(-1).T, cmap="viridis", shading="nearest")
        edge = ax.contour(x, y, found.stable.mean(-1).T, [0.5], colors="w")
        ax.clabel(edge, fmt=lambda _: "half are stable")
        ax.plot(10.0, 1.0, "w+", ms=10)
        ax.set(title=title, xlabel="connectivity, %", ylabel="quantal size, relative")
        figure.colorbar(image, ax=ax)
        plain(ax)
    return figure


class LiveNetwork:
    """The same cells in NEURON."""

    def __init__(self) -> None:
        self.cell = HNNCell("L5_pyramidal")
        self.cells = [self.cell.build() for _ in range(CIRCUIT.cells)]

    def run(self, links: Links, drives: list[SynapticEvents]) -> np.ndarray:
        """Spikes of each cell in each bin. Once: NEURON gets slower with each network that is connected anew."""
        from neuron import h

        from simulators.cells.run import advance, connect

        def connection(source: int, synapse: Any, delay_ms: float) -> Any:
            soma = self.cells[source].soma
            return h.NetCon(soma._ref_v, synapse, self.cell.threshold_mV, delay_ms, 0.0, sec=soma.sec)

        outgoing: list[list[tuple[Any, float]]] = [[] for _ in self.cells]
        columns = (links.sources, links.targets, links.synapses, links.weights_uS, links.delays_ms)
        for source, target, synapse, weight, delay_ms in zip(*(c.tolist() for c in columns), strict=True):
            outgoing[source].append((connection(source, self.cells[target].synapses[synapse], delay_ms), weight))
        state = [(0.0, 1.0, -np.inf) for _ in self.cells]

        def release(source: int) -> None:
            """Set weights to what this spike releases (Tsodyks and Markram), before it arrives."""
            used, left, last_ms = state[source]
            since_ms = h.t - last_ms
            left = 1 - (1 - left) * np.exp(-since_ms / RELEASE.recovery_ms)
            used = used * np.exp(-since_ms / RELEASE.facilitation_ms)
            used += RELEASE.use * (1 - used)
            for each, weight in outgoing[source]:
                each.weight[0] = weight * used * left
            state[source] = used, left - used * left, h.t

        detectors = [connection(k, None, 0.0) for k in range(len(self.cells))]
        for k, detector in enumerate(detectors):
            detector.record((release, k))
        queue = [pair for cell, events in zip(self.cells, drives, strict=True) for pair in connect(cell, events)]
        values = advance(self.cells, queue, self.cell.threshold_mV, self.cell.celsius, LASTING_MS, STEP_MS, BIN_MS)
        return np.stack([value[1] for value in values])


def beside_neuron(theta: tuple[float, ...], seed: list[int]) -> dict[str, Any]:
    """One network in NEURON and out of surrogates, with the same connections and background."""
    live = LiveNetwork()
    drawn = LONG.draw(np.array(theta), np.random.default_rng(seed))
    start = time.process_time()
    true = live.run(*drawn)
    seconds = time.process_time() - start
    spikes = LONG.run(np.array([theta]), [np.random.default_rng(seed)]).spikes[0]
    matched = match_spikes(torch.from_numpy(spikes), torch.from_numpy(true), BIN_MS, 2.0)
    both = np.stack([Counted.of(true), Counted.of(spikes)], 1).round().astype(int).tolist()
    about = {
        "connectivity": round(theta[0], 2),
        "quantal_size": round(theta[1], 3),
        "before": both[0],
        "evoked": both[1],
    }
    return {
        "about": about,
        "matched": [matched.matched, matched.predicted, matched.true],
        "seconds": seconds,
        "all spikes": true.sum(0),
    }


def neuron_part(thetas: list[tuple[float, ...]], workers: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """How near the surrogates' networks are to NEURON's, and all spikes of the latter in each bin."""
    with ProcessPoolExecutor(workers, get_context("spawn"), max_tasks_per_child=1) as pool:
        running = [pool.submit(beside_neuron, theta, [SEEDS["neuron"], k]) for k, theta in enumerate(thetas)]
        found = [r.result() for r in track(running, "NEURON", transient=True)]
    table = Table(
        "connectivity", "quanta", "before: NEURON", "surrogates", "evoked: NEURON", "surrogates", "s in NEURON"
    )
    for one in found:
        about = one["about"]
        theta = f"{about['connectivity']:.1f} %", f"× {about['quantal_size']:.2f}"
        table.add_row(*theta, *map(str, about["before"] + about["evoked"]), f"{one['seconds']:.0f}")
    console.print(table)
    matched, predicted, true = np.sum([one["matched"] for one in found], axis=0)
    summary = {
        "networks": [one["about"] for one in found],
        "all_spikes": int(true),
        "precision_2ms": round(float(matched / predicted), 4),
        "recall_2ms": round(float(matched / true), 4),
        "seconds_per_100_ms": round(1e2 * sum(one["seconds"] for one in found) / LASTING_MS / len(found), 1),
    }
    return summary, [one["all spikes"] for one in found]


@dataclass(frozen=True)
class Seen:
    """Some channels of a recording."""

    channels: tuple[str, ...]

    def observe(self, source: Recording, theta: np.ndarray) -> Recording:
        """These channels alone."""
        at = [source.channels.index(name) for name in self.channels]
        unit = ", ".join(source.units[k] for k in at)
        return replace(source, values=source.values[at], unit=unit, channels=self.channels)


SEEN: dict[str, tuple[tuple[str, ...], Features]] = {
    "spectra of spikes": (("spikes",), SpectralFeatures(1e3 / BIN_MS)),
    "spikes and V in time": (("spikes", "V"), EvokedResponse(1e3 / BIN_MS, 300.0, 5.0)),
}


def posterior_part(
    n: int, test: int, workers: int, folder: Path, thetas: list[tuple[float, ...]], in_neuron: list[np.ndarray]
) -> dict[str, Any]:
    """Neural posteriors, tested on networks that nothing was trained on: of surrogates, and the few of NEURON."""
    torch.set_num_threads(1)
    simulator = Microcircuit(record=("spikes", "V"))
    campaign = run_campaign(simulator, n + test, SEEDS["posterior"], folder / "rett.zarr", workers, label="campaign")
    rows = split_rows(campaign, test)[1]
    scores: dict[str, Score] = {}
    for name, (channels, features) in SEEN.items():
        study = Study(simulator, Seen(channels), features)
        ((_, estimator),) = train(study, campaign, ["npe"], test=test, progress=False)
        scores |= score_all({name: estimator}, *study.recordings(campaign, rows))
        if len(in_neuron) > 1 and channels == ("spikes",):
            recordings = [Recording(x[None].astype(float), 1e3 / BIN_MS, "1", channels) for x in in_neuron]
            truths = np.array(thetas)[:, : len(RETT)]
            scores |= score_all({f"{name}, of {len(recordings)} in NEURON": estimator}, truths, recordings)
    console.print(*compare_tables(scores))
    return {name: {key: found.to_json()[key] for key in KEPT} for name, found in scores.items()}


def shown(found: dict[str, dict[str, Any]], title: str) -> None:
    table = Table("condition", "n", "spikes before", "published", "cells evoked", "published", "stable", "published")
    for name, one in found.items():
        published = CONDITIONS[name]
        before, evoked = ("{:.1f} ± {:.1f}".format(*one[key]) for key in ("before", "evoked"))
        stable = f"{one['stable_percent']:.0f} %"
        row = (before, published.before, evoked, published.evoked, stable, published.stable)
        table.add_row(name, str(one["networks"]), *row)
    table.title = title
    console.print(table)


def inhibition_part(n: int, pool: Executor) -> dict[str, Any]:
    places = list(product(BELOW_NINE, INHIBITORY_QUANTA))
    found = by_condition([(c, 1.0, i) for c, i in places], n, SEEDS["inhibition"], pool, "inhibition")
    table = Table("connectivity", *(f"inhibitory quanta × {i:g}" for i in INHIBITORY_QUANTA))
    by_place = dict(zip(places, found, strict=True))
    for c in BELOW_NINE:
        ones = [by_place[c, i] for i in INHIBITORY_QUANTA]
        cells = ("{:.0f} %, evoked {:.1f} ± {:.1f}".format(one["stable_percent"], *one["evoked"]) for one in ones)
        table.add_row(f"{c:g} %", *cells)
    table.title = f"stable networks of {n} (published: below 9 % all of them)"
    console.print(table)
    return {f"{c:g} %, x {i:g}": one for (c, i), one in by_place.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--figure", type=Path, help="where the map is drawn")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder in which the campaign is kept, and gone on with")
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}; choose of {', '.join(PARTS)}")
    n, size, repeats, simulations, test = (10, 6, 2, 200, 60) if asked.quick else (100, 20, 10, 2000, 300)
    drawn = [(*theta.tolist(), 1.0) for theta in RETT.sample(3, np.random.default_rng(SEEDS["neuron"]))]
    thetas = IN_NEURON[:1] if asked.quick else IN_NEURON + drawn
    in_neuron: list[np.ndarray] = []
    out: dict[str, Any] = {}
    with local_pool(asked.workers) as pool:
        for task in [pool.submit(ready) for _ in range(2 * asked.workers)]:
            task.result()
        if "conditions" in parts:
            found = by_condition([c.theta for c in CONDITIONS.values()], n, SEEDS["conditions"], pool, "conditions")
            out["conditions"] = dict(zip(CONDITIONS, found, strict=True))
            shown(out["conditions"], "everything else as in the wild type")
            out["inhibition"] = inhibition_part(n, pool)
        if "neuron" in parts:
            out["neuron"], in_neuron = neuron_part(thetas, asked.workers)
        if "map" in parts:
            counts, seconds = mapped(size, repeats, pool)
            out["over_map"] = over_map(counts, size)
            shown(out["over_map"], "over all networks of the map")
            out["map"] = {"networks": counts.before.size, "seconds": round(seconds, 1)}
            if "neuron" in parts:
                hours = out["neuron"]["seconds_per_100_ms"] * MAPPED_MS / 1e2 / 3600
                out["map"]["neuron_hours"] = round(counts.before.size * hours, 1)
            console.print(f"map: {out['map']}")
            if asked.figure:
                map_figure(counts, size).savefig(asked.figure, dpi=100)
    if "posterior" in parts:
        with tempfile.TemporaryDirectory() as temporary:
            folder = asked.out or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            out["posterior"] = posterior_part(simulations, test, asked.workers, folder, thetas, in_neuron)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
