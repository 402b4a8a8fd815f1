"""Figure 5: a detailed cell, and a user's own from its files to a surrogate."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from neuron_experiments.figure1 import scores, spike_rows
from neuron_experiments.rows import Row, row_of
from neuron_experiments.study import Study, console, first_outputs
from surrogates.neurons.architectures.published import DETAILED_CELL
from surrogates.neurons.trained import TrainedNeuron
from surrogates.neurons.training.data import join

_DATABASE = {"2/3": (94.2, 86.6, 90.7), "4": (74.5, 70.1, 74.5), "6": (67.0, 63.2, 63.5)}
_NOT_HERE = "cell of a public database, which cannot be had here: not done"

SWC = """# soma, an axon, two basal dendrites, an apical trunk with two branches
1 1 0 0 0 10 -1
2 2 0 10 0 0.6 1
3 2 0 60 0 0.6 2
4 3 10 0 0 1 1
5 3 110 0 0 0.8 4
6 3 -10 0 0 1 1
7 3 -160 0 0 0.7 6
8 4 0 -10 0 1.5 1
9 4 0 -210 0 1 8
10 4 60 -290 0 0.6 9
11 4 -60 -290 0 0.6 9
"""


def detailed(study: Study, runs: int = 10) -> list[Row]:
    """5A-G. ``runs`` of each regime of the column's layer 5 pyramidal cell, which takes the published one's place."""
    sides = []
    for task, number in (("L5_pyramidal_1ms", 5), ("L5_pyramidal", 5)):
        regimes = study.tasks[task].regimes
        parts = [
            study.unseen(replace(study.simulator(task, k), batch_size=5), f"{task}_{r.name}", runs, number + k)
            for k, r in enumerate(regimes)
        ]
        sides.append(study.once(("joined", task, runs), partial(join, parts)))
    published = study.published("L5_pyramidal_1ms", outputs=0, optimiser=torch.optim.Adamax, **DETAILED_CELL)
    default = study.default("L5_pyramidal")
    bare = study.once(("bare", runs), partial(first_outputs, sides[0], 0))
    found = [scores(study, n, r) for n, r in ((published, bare), (default, sides[1]))]
    note = f"{study.trained_for(published)}; {study.source_of('L5_pyramidal')}; cell of hnn-core, not the published one"
    rows = spike_rows("5G", found[0], found[1], {10.0: (68.3, 66.5)}, note)
    rows.append(row_of("5G", "subthreshold V: r", 0.83, (s.subthreshold_r for s in found), note=note))
    rows.append(
        row_of("5G", "V clipped at -30 mV: variance explained, %", None, (100 * s.variance_explained for s in found))
    )
    return rows


def own_cell(study: Study, passes: int | None = None) -> list[Row]:
    """5H-I. A cell's two files and its description are written, and one command makes its surrogate."""
    folder = study.data / "own"
    description, out = write_cell(folder), folder / "own.safetensors"
    shared = ["--cell", str(description), "--data", str(folder / "cells"), "--workers", str(study.workers)]
    if not out.is_file():
        _command("train", "--out", str(out), "--passes", str(passes or study.passes), *shared)
    found = json.loads(_command("evaluate", str(out), *shared).splitlines()[-1])["high"]
    rows = []
    for layer, numbers in _DATABASE.items():
        for what, number in zip(("variance explained, %", "precision, %", "recall, %"), numbers, strict=True):
            rows.append(Row("5H-I", f"layer {layer} pyramidal: {what}", number, note=_NOT_HERE))
    learned = TrainedNeuron.load(out).about["training"]["passes"]
    note = f"a generated cell (SWC, fit_parameters.json), {learned} passes; trained by one command"
    for what, key in (
        ("variance explained, %", "variance_explained"),
        ("precision within 10 ms, %", "precision_10ms"),
        ("recall within 10 ms, %", "recall_10ms"),
        ("precision within 2 ms, %", "precision_2ms"),
        ("recall within 2 ms, %", "recall_2ms"),
    ):
        rows.append(Row("5H-I", f"own cell: {what}", None, None, _percent(found[key]), note=note))
    rows.append(Row("5H-I", "own cell: rate, Hz", None, None, found["predicted_rate_Hz"], found["rate_Hz"]))
    return rows


def _percent(share: float | None) -> float:
    return float("nan") if share is None else 100 * share


def _command(*arguments: str) -> str:
    """Run ``circuitsbi surrogate`` and return what it prints; what it says of errors is not held back."""
    console.print(f"circuitsbi surrogate {' '.join(arguments)}")
    circuitsbi = Path(sys.executable).with_name("circuitsbi")
    run = subprocess.run([circuitsbi, "surrogate", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.strip()


def write_cell(folder: Path) -> Path:
    """A small cell: morphology, parameters as the Allen Institute publishes them, and a description that names both."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = ("soma", "axon", "dend", "apic")
    channels = {"gnabar_hh": 0.2, "gkbar_hh": 0.06, "gl_hh": 1e-5}
    parameters = {
        "passive": [{"ra": 120.0, "e_pas": -70.0, "cm": [{"section": s, "cm": 1.0} for s in sections]}],
        "conditions": [{"celsius": 16.0, "v_init": -70.0, "erev": [{"section": "soma", "ena": 50.0, "ek": -77.0}]}],
        "genome": [{"section": s, "name": "g_pas", "value": 1e-4, "mechanism": ""} for s in sections]
        + [{"section": "soma", "name": n, "value": v, "mechanism": "hh"} for n, v in channels.items()],
    }
    groups = [
        _group("basal", "basal", 10, 0.2, 2.0, 0.0, 2e-3),
        _group("apical", "apical", 10, 0.2, 2.0, 0.0, 4e-3),
        _group("inhibitory", "all", 6, 0.3, 5.0, -80.0, 2e-3) | {"inhibitory": True},
    ]
    cell = {
        "morphology": "cell.swc",
        "parameters": "fit_parameters.json",
        "synapses": groups,
        "record": ["apic[0]"],
        "rates_Hz": [20, 20],
    }
    (folder / "cell.swc").write_text(SWC)
    (folder / "fit_parameters.json").write_text(json.dumps(parameters))
    (folder / "cell.json").write_text(json.dumps(cell))
    return folder / "cell.json"


def _group(name: str, where: str, count: int, rise_ms: float, decay_ms: float, reversal_mV: float, weight_uS: float):
    kinetics = {"rise_ms": rise_ms, "decay_ms": decay_ms, "reversal_mV": reversal_mV, "weight_uS": weight_uS}
    return {"name": name, "section_list": where, "count": count, **kinetics}
