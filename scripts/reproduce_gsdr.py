"""The results of self-supervised tuning (Nejat, Sherfey and Bastos 2024) in a circuit of E and I cells.

    python scripts/reproduce_gsdr.py                 every task and method but Bayesian optimisation, 10 seeds
    python scripts/reproduce_gsdr.py --seeds 3 --methods gsdr,cma --tasks gamma,beta
    python scripts/reproduce_gsdr.py --tuning        tasks that the rule's numbers were chosen on instead
    python scripts/reproduce_gsdr.py --out FOLDER    keep every search's log, and go on with those that are there

Tasks: a resting potential (3 parameters); rates of three populations within 10 % (12); from a rhythm of 16 Hz to gamma
(40-90 Hz) and from 44 Hz to beta (10-30 Hz) by nine synaptic strengths alone, E at 2-25 Hz; which strengths changed
between two states. Each seed has connections of its own. A search succeeds where it ends before its budget and fresh
simulations agree; its simulations are all it asked for, those that confirm included; a failure counts as its budget.

The last line is one JSON object: circuit (times_real_time on one core, spikes_equal with NEURON over 1 s), and by task
and method successes, seeds, median_simulations.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gsdr_methods import METHODS
from gsdr_tasks import JUDGING, TUNING, solved
from gsdr_two_states import two_states
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.fitting.objective import Objective
from simulators.ei_circuit.model import BETA, GAMMA, EICircuit
from simulators.ei_circuit.simulator import CompiledEICircuit, NeuronEICircuit

console = Console()


def circuit() -> dict[str, Any]:
    """Speed of the compiled circuit, and whether NEURON has the same spikes over 1 s."""
    equal, seconds = [], []
    for strengths in (BETA, GAMMA):
        compiled, neuron = (
            kind(EICircuit(strengths=strengths), transient_ms=0.0) for kind in (CompiledEICircuit, NeuronEICircuit)
        )
        theta = np.array([strengths[p] for p in compiled.parameters.names])
        one, other = (s.simulate_spikes(theta, np.random.default_rng(0)) for s in (compiled, neuron))
        equal.append(
            len(one.times_ms) == len(other.times_ms)
            and bool((one.senders == other.senders).all())
            and bool(np.allclose(one.times_ms, other.times_ms))
        )
        for seed in range(3):
            start = time.process_time()
            compiled.simulate(theta, np.random.default_rng(seed))
            seconds.append(time.process_time() - start)
    return {"times_real_time": round(1 / float(np.median(seconds)), 1), "spikes_equal": all(equal)}


def one_search(name: str, method: str, seed: int, folder: str | None) -> tuple[bool, int]:
    """Whether a search succeeded, and with how many simulations."""
    torch.set_num_threads(1)
    task = (JUDGING | TUNING)[name](seed)
    log = None
    if folder is not None:
        log = Path(folder) / f"{name} {method} {seed}.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
    objective = Objective(task.simulator, task.targets, task.budget, task.confirmations, seed=seed, log=log)
    end = objective.search(METHODS[method], task.start, seed)
    succeeded = solved(task, end, objective.solved, seed)
    return succeeded, objective.simulations if succeeded else task.budget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", help="of rest, rates, gamma, beta, two_states; all by default")
    parser.add_argument("--methods", help=f"of {', '.join(METHODS)}; all but bayesian by default")
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--out", help="folder for the logs of the searches")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    there = list(TUNING if arguments.tuning else JUDGING) + ([] if arguments.tuning else ["two_states"])
    tasks = there if arguments.tasks is None else arguments.tasks.split(",")
    methods = [m for m in METHODS if m != "bayesian"] if arguments.methods is None else arguments.methods.split(",")
    if unknown := [x for x in tasks if x not in there] + [x for x in methods if x not in METHODS]:
        parser.error(f"there is no {unknown[0]}; tasks are {', '.join(there)}, methods {', '.join(METHODS)}")
    result: dict[str, Any] = {"circuit": circuit()}
    console.print(f"compiled circuit: {result['circuit']}")
    with ProcessPoolExecutor(arguments.workers) as pool:
        searches = [t for t in tasks if t != "two_states"]
        jobs = {
            (task, method): [
                pool.submit(one_search, task, method, seed, arguments.out) for seed in range(arguments.seeds)
            ]
            for task in searches
            for method in methods
        }
        table = Table("task", "method", "successes", "median simulations", "all")
        for (task, method), runs in track(jobs.items(), "searches", console=console, transient=True):
            found = [run.result() for run in runs]
            numbers = [n for _, n in found]
            result.setdefault(task, {})[method] = {
                "successes": sum(s for s, _ in found),
                "seeds": len(found),
                "median_simulations": float(np.median(numbers)),
            }
            told = " ".join(str(n) if s else "-" for s, n in found)
            table.add_row(task, method, f"{sum(s for s, _ in found)} of {len(found)}", f"{np.median(numbers):g}", told)
        console.print(table)
        if "two_states" in tasks:
            result["two_states"] = two_states(pool, arguments.seeds, console)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
