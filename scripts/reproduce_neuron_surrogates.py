"""Every published experiment on surrogate neurons (Olah et al. 2022, figs. 1-6) that needs no private data, done again.

The network of Tolley and Jones, told the same, stands under "poster"; under "GRU", with the same training, the default
network beside the same with gated units in place of its leaky memories.

    python scripts/reproduce_neuron_surrogates.py                        all figures (two to three hours on 2 cores)
    python scripts/reproduce_neuron_surrogates.py --figure 1H --figure 2A  some of them
    python scripts/reproduce_neuron_surrogates.py --shipped              the shipped surrogates alone, beside the limit
                                                                         that NEURON itself sets (10 minutes)
    python scripts/reproduce_neuron_surrogates.py --figure 1G --minutes 720 --device cuda
                                                                         published networks trained as long as published

For each number three stand side by side: the published one; that of the published architecture, trained here for
--minutes, where the publication took 12 to 24 hours of a GPU; and that of the project's own network, shipped or, for
cells that no network is shipped for, trained here. All run freely on runs that no training has seen, unless told
otherwise. Simulations and trainings are kept in --data: started again, it goes on, with more --minutes further.

The last line is one JSON object: "rows" with figure, what, published, reimplemented, default, neuron (NEURON's own),
published_neuron and note, and "seconds" by figure. With --shipped: "active_point", "l5_pyramidal" and so on, each with
precision, recall, variance_explained, subthreshold_r and others, by input regime under "regimes", and with NEURON's own
under "ceiling": the same events with half the step, and every event one step earlier or later.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from neuron_experiments import figure1, figure2, figure5, figure6, figure34, recurrent
from neuron_experiments.rows import Row, table_of
from neuron_experiments.shipped import shipped, shipped_table
from neuron_experiments.study import Study, console
from neuron_experiments.tasks import TASKS

from surrogates.neurons.training.curricula import CURRICULA


def elsewhere(study: Study) -> list[Row]:
    """What other scripts do."""
    return [
        Row("7B-C", "time of NEURON and of networks", note="scripts/benchmark_neurons.py"),
        Row("8C", "time of 150 cells in a network", note="a network of surrogates, not part of this script"),
        Row("9", "networks of the Rett syndrome", note="a network of surrogates, not part of this script"),
    ]


FIGURES: dict[str, Callable[[Study], list[Row]]] = {
    "1B": figure1.one_step_error,
    "1E": figure1.passive,
    "1G": figure1.active,
    "1H": figure1.spikes,
    "1I-K": figure1.long_run,
    "2A": figure2.quantal_size,
    "2B-D": figure2.summation,
    "2E": figure2.excitation_and_inhibition,
    "2F-H": figure2.potassium,
    "3": figure34.currents,
    "4B": figure34.coincidence,
    "4C": figure34.nmda_rates,
    "5A-G": figure5.detailed,
    "5H-I": figure5.own_cell,
    "poster": recurrent.poster,
    "GRU": recurrent.memories,
    "6": figure6.izhikevich,
    "6-S1": figure6.indicators,
    "7-9": elsewhere,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", action="append", choices=list(FIGURES), help="may be given again; all by default")
    parser.add_argument("--shipped", action="store_true", help="only evaluate the shipped surrogates")
    parser.add_argument("--runs", type=int, help="with --shipped: unseen ones of a regime (20; point cell 50)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training for each published network")
    parser.add_argument("--passes", type=int, default=200, help="of training where no network is shipped; poster; GRU")
    parser.add_argument("--data", type=Path, default=Path("neuron_experiments"), help="folder of simulations, weights")
    parser.add_argument("--neuron", action="append", default=[], metavar="CELL=FILE", help="instead of a shipped one")
    parser.add_argument("--device", default="cpu", help="on which published networks are trained: cpu, cuda ...")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    known = {*TASKS, *CURRICULA}
    if wrong := [text for text in arguments.neuron if text.partition("=")[0] not in known or "=" not in text]:
        parser.error(f"--neuron {wrong[0]}: write it as point=point.safetensors; cells are {', '.join(sorted(known))}")
    counts = {name: getattr(arguments, name) for name in ("runs", "minutes", "passes", "workers")}
    if wrong := [name for name, value in counts.items() if value is not None and not 0 < value < math.inf]:
        parser.error(f"--{wrong[0]} must be a number above 0")
    study = Study(
        arguments.data,
        arguments.minutes,
        arguments.passes,
        arguments.seed,
        arguments.workers,
        arguments.device,
        dict(text.split("=", 1) for text in arguments.neuron),
    )
    # Everything is small or beside another process that simulates.
    torch.set_num_threads(1)
    if arguments.shipped:
        found = shipped(study, arguments.runs)
        console.print(shipped_table(found))
        print(json.dumps(found))
        return
    rows, seconds = [], {}
    for name in arguments.figure or FIGURES:
        start = time.perf_counter()
        made = FIGURES[name](study)
        seconds[name] = round(time.perf_counter() - start, 1)
        console.print(table_of(made))
        rows += made
    if len(seconds) > 1:
        console.print(table_of(rows))
    if arguments.device == "cpu":
        figures = " ".join(f"--figure {name}" for name in arguments.figure or ())
        console.print(
            f"Published networks as long as published, on a GPU:\npython scripts/reproduce_neuron_surrogates.py "
            f"{figures} --minutes 720 --device cuda --data {arguments.data}",
            soft_wrap=True,
        )
    print(json.dumps({"rows": [row.to_json() for row in rows], "minutes": arguments.minutes, "seconds": seconds}))


if __name__ == "__main__":
    main()
