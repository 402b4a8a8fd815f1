"""Is the right circuit said, and is a stranger refused? 'circuitsbi explain' on recordings whose maker is known.

    python scripts/evaluate_explain.py --scratch FOLDER              12 recordings of each kind, 15 minutes
    python scripts/evaluate_explain.py --scratch FOLDER --each 40     more of each; --strangers 40 of each kind of these

FOLDER holds the campaigns of make_explain.py; recordings are of simulations that nothing was learned from, every other
one with a background that makes up to 90 % of the power, 10 to 200 Hz. Strangers: pink and brown noise and other
backgrounds (what is right to say is: background alone), autoregressive processes with one or two sharp peaks, the
oscillators of Wilson and Cowan and of Jansen and Rit, the beat network's counts, a sine in noise.

The last line is one JSON object: own_accepted_percent (explained, or with a doubt), own_maker_fits_percent,
own_named_percent (the maker is said to explain it, without a doubt), own_another_named_percent (another is),
foreign_accepted_percent (a circuit is said to explain it, without a doubt), by kind, and confusion: of each maker's
recordings, how often which is the most probable.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from explain_circuits import circuits
from make_explain import RANGES_OF
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import lfilter

from inference.explaining.comparison import BACKGROUND, MOST_SHARE
from inference.explaining.explain import DOUBTFUL, EXPLAINED, explain
from inference.explaining.spectra import RATE_HZ, SECONDS
from inference.workflows.explain import CIRCUITS, shipped_circuits
from simulators.firing_events.simulator import BeatSimulator
from simulators.recording import Recording
from surrogates.spectra.additions import Additions

console = Console()
N = round(SECONDS * RATE_HZ)


def signal(values: np.ndarray) -> Recording:
    return Recording(np.asarray(values, float)[None, :N], RATE_HZ, "1", ("signal",))


def background(rng: np.random.Generator) -> Recording:
    return Additions().added(signal(rng.standard_normal(N)), 1.0, rng)


def peaks(rng: np.random.Generator) -> Recording:
    """An autoregressive process with one or two sharp peaks."""
    values = rng.standard_normal(N + 1000)
    for _ in range(rng.integers(1, 3)):
        f, width = rng.uniform(12, 120), rng.uniform(1.0, 5.0)
        r = np.exp(-np.pi * width / RATE_HZ)
        values = lfilter([1.0], [1.0, -2 * r * np.cos(2 * np.pi * f / RATE_HZ), r**2], values)
    return signal(values[1000:])


def sine(rng: np.random.Generator) -> Recording:
    wave = np.sin(2 * np.pi * rng.uniform(12, 100) * np.arange(N) / RATE_HZ)
    return signal(wave + rng.uniform(0.3, 2.0) * rng.standard_normal(N))


def wilson_cowan(rng: np.random.Generator) -> Recording:
    """Two populations with sigmoid gains, driven by noise, at a rhythm of 15 to 60 Hz."""
    dt, speed = 1e-3, rng.uniform(0.6, 2.5)
    e, i, values = 0.1, 0.1, np.empty(2 * N + 1000)
    for k in range(len(values)):
        drive = 1.25 + 0.4 * rng.standard_normal()
        fe = 1 / (1 + np.exp(-1.3 * (16 * e - 12 * i + drive - 4))) - 1 / (1 + np.exp(1.3 * 4))
        fi = 1 / (1 + np.exp(-2 * (15 * e - 3 * i - 3.7))) - 1 / (1 + np.exp(2 * 3.7))
        e += speed * dt / 8e-3 * (-e + (1 - e) * fe)
        i += speed * dt / 8e-3 * (-i + (1 - i) * fi)
        values[k] = e
    return signal(values[1000::2])


def jansen_rit(rng: np.random.Generator) -> Recording:
    """The column of Jansen and Rit (1995), its rates raised so that it beats within the band."""
    dt, speed = 1e-4, rng.uniform(1.5, 5.0)
    A, B, a, b, C = 3.25, 22.0, 100.0 * speed, 50.0 * speed, 135.0
    y, values = np.zeros(6), np.empty(round((SECONDS + 1) / dt / 20))
    for k in range(len(values) * 20):
        p = 120 + 200 * rng.random()
        s = [5 / (1 + np.exp(0.56 * (6 - v))) for v in (y[1] - y[2], C * y[0], 0.25 * C * y[0])]
        slope = [
            y[3], y[4], y[5], A * a * s[0] - 2 * a * y[3] - a**2 * y[0],
            A * a * (p + 0.8 * C * s[1]) - 2 * a * y[4] - a**2 * y[1],
            B * b * 0.25 * C * s[2] - 2 * b * y[5] - b**2 * y[2],
        ]  # fmt: skip
        y = y + dt * np.array(slope)
        if k % 20 == 19:
            values[k // 20] = y[1] - y[2]
    return signal(values[-N:])


def beat(rng: np.random.Generator) -> Recording:
    counts = BeatSimulator(1e3 * SECONDS + 10).simulate(np.array([rng.uniform(0.38, 0.46)]), rng).steady[0]
    return signal(counts[: 2 * N].reshape(-1, 2).sum(1))


STRANGERS: dict[str, Callable[[np.random.Generator], Recording]] = {
    "background": background, "sharp peaks": peaks, "sine in noise": sine, "wilson-cowan": wilson_cowan,
    "jansen-rit": jansen_rit, "beat network": beat,
}  # fmt: skip


def own(scratch: Path, n: int, each: int, seed: int) -> list[tuple[str, Recording]]:
    """Recordings of every circuit that nothing was learned from; every other one with a background."""
    found = []
    rng = np.random.default_rng([5, seed])
    for name, make in circuits(scratch, n).items():
        made = make()
        kept = made.recordings[-made.tested :]
        for k, place in enumerate(rng.choice(len(kept), each, replace=False)):
            recording = kept[place]
            if k % 2:
                recording = Additions().added(recording, rng.uniform(0.1, MOST_SHARE), rng)
            found.append((name, recording))
    return found


def judged(folder: Path, job: tuple[str, Recording]) -> dict[str, Any]:
    torch.set_num_threads(1)
    kind, recording = job
    fits, comparison = shipped_circuits(folder)
    one = explain(kind, recording, fits, comparison)
    return {
        "kind": kind,
        "status": one.status,
        "best": None if one.best is None else one.best.name,
        "fits": [e.name for e in one.explanations if e.fits],
        "likeliest": next(iter(one.probabilities)),
    }


def circuit_of(name: str) -> str:
    return RANGES_OF.get(name, name)


def percent(found: list[bool]) -> float:
    return round(100 * float(np.mean(found)), 1) if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=CIRCUITS, help="of the fits; the shipped ones by default")
    parser.add_argument("--n", type=int, default=2500, help="as make_explain.py was called with")
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--strangers", type=int, help="of each kind; as --each by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    jobs = own(arguments.scratch, arguments.n, arguments.each, arguments.seed)
    makers = list(dict.fromkeys(name for name, _ in jobs))
    rng = np.random.default_rng([11, arguments.seed])
    strangers = arguments.each if arguments.strangers is None else arguments.strangers
    jobs += [(kind, make(rng)) for kind, make in STRANGERS.items() for _ in range(strangers)]
    with ProcessPoolExecutor(arguments.workers) as pool:
        results = list(
            track(pool.map(partial(judged, arguments.folder), jobs), "explaining", len(jobs), transient=True)
        )
    by_kind = {kind: [r for r in results if r["kind"] == kind] for kind in (*makers, *STRANGERS)}
    table = Table("made by", "its maker fits, %", "explained", "doubtful", "not", "most probable")
    confusion = {}
    for kind, rows in by_kind.items():
        likeliest = Counter(circuit_of(r["likeliest"]) for r in rows)
        confusion[kind] = {name: round(n / len(rows), 2) for name, n in likeliest.most_common()}
        statuses = Counter(r["status"] for r in rows)
        fitting = f"{percent([kind in r['fits'] for r in rows]):g}" if kind in makers else ""
        told = ", ".join(f"{name} {share:.0%}" for name, share in confusion[kind].items())
        others = len(rows) - statuses[EXPLAINED] - statuses[DOUBTFUL]
        table.add_row(kind, fitting, str(statuses[EXPLAINED]), str(statuses[DOUBTFUL]), str(others), told)
    console.print(table)
    ours = [r for r in results if r["kind"] in makers]
    strange = [r for r in results if r["kind"] in STRANGERS]
    named = [
        r["best"] is not None and circuit_of(r["best"]) == circuit_of(r["kind"]) and r["status"] == EXPLAINED
        for r in ours
    ]
    wrongly = [
        r["status"] == EXPLAINED and r["best"] is not None and circuit_of(r["best"]) != circuit_of(r["kind"])
        for r in ours
    ]
    result = {
        "own_accepted_percent": percent([r["status"] in (EXPLAINED, DOUBTFUL) for r in ours]),
        "own_maker_fits_percent": percent([r["kind"] in r["fits"] for r in ours]),
        "own_named_percent": percent(named),
        "own_another_named_percent": percent(wrongly),
        "foreign_accepted_percent": percent([r["status"] == EXPLAINED for r in strange]),
        "foreign_accepted_percent_by_kind": {
            kind: percent([r["status"] == EXPLAINED for r in by_kind[kind]]) for kind in STRANGERS
        },
        "background_said_percent": percent([r["likeliest"] == BACKGROUND for r in by_kind["background"]]),
        "confusion": confusion,
        "each": arguments.each,
        "strangers": strangers,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
