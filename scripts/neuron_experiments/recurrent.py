"""Other recurrent networks than the default, told the same of the same cells."""

from dataclasses import replace
from functools import partial

from neuron_experiments.figure1 import scores, spike_rows
from neuron_experiments.rows import Row, row_of
from neuron_experiments.study import Study, first_outputs
from surrogates.neurons.training.data import Runs, join

_PYRAMIDAL = "L5_poster"


def poster(study: Study, runs: int = 20) -> list[Row]:
    """The connectivity poster (Tolley & Jones): ``runs`` of each regime of the layer 5 cell, events told alone."""
    unseen = _every_regime(study, runs)
    bare = study.once(("bare", _PYRAMIDAL, runs), partial(first_outputs, unseen, 1))
    neurons = study.poster(_PYRAMIDAL), study.stateful(_PYRAMIDAL, "leaky")
    found = [scores(study, n, r) for n, r in zip(neurons, (bare, unseen), strict=True)]
    note = f"TCN-LSTM and default, {study.passes} passes of the same data; weights over one to three decades"
    return [
        row_of("poster", "L5 pyramidal, soma V: r", 0.788, (s.r for s in found), note=note),
        row_of("poster", "L5 pyramidal, dipole: r", 0.765, (next(iter(s.outputs_r.values())) for s in found)),
        *spike_rows("poster", found[0], found[1], {}, ""),
    ]


def memories(study: Study, runs: int = 20, duration_ms: float = 2000.0) -> list[Row]:
    """A GRU in place of the leaky memories, both trained here for as many passes."""
    point = study.unseen(study.simulator("point", duration_ms=duration_ms), f"point_{duration_ms:g}", runs, 30)
    rows = []
    for cell, task, unseen in (("point", "point", point), ("L5 pyramidal", _PYRAMIDAL, _every_regime(study, runs))):
        neurons = [study.stateful(task, memory) for memory in ("gated", "leaky")]
        found = [scores(study, n, unseen) for n in neurons]
        note = f"a GRU in place of the default's leaky memories, {study.passes} passes each; {len(unseen)} runs"
        for what, values in (
            ("V clipped at -30 mV: variance explained, %", [100 * s.variance_explained for s in found]),
            ("V with its spikes: r", [s.r for s in found]),
            ("mean r of outputs", [sum(s.outputs_r.values()) / len(s.outputs_r) for s in found]),
            ("minutes of training", [n.about["minutes"] for n in neurons]),
            ("trained numbers", [float(sum(p.numel() for p in n.network.parameters())) for n in neurons]),
        ):
            rows.append(row_of("GRU", f"{cell}, {what}", None, values, note=note))
        rows += [replace(r, what=f"{cell}, {r.what}") for r in spike_rows("GRU", found[0], found[1], {}, note)]
    return rows


def _every_regime(study: Study, runs: int) -> Runs:
    simulators = [study.simulator(_PYRAMIDAL, k) for k in range(3)]
    parts = [
        study.unseen(replace(s, batch_size=5), f"{_PYRAMIDAL}_{k}", runs, 20 + k) for k, s in enumerate(simulators)
    ]
    return study.once(("joined", _PYRAMIDAL, runs), partial(join, parts))
