"""Multiple firing events predicted: the published models, the project's own, what no skill gives, and the exact floor.

    python scripts/reproduce_mfe.py                      all parts, 15 minutes on two cores
    python scripts/reproduce_mfe.py --parts ring,seed    some of them
    python scripts/reproduce_mfe.py --minutes 6          more data to learn from

ring, random: S = .05, E spikes of the next ms, squared error below that of ridge regression on 20 lags (percent), by
what a model sees: counts of the past, the global state, the local state, and the exact floor (the network itself, from
the same state with other noise). Tested on 60 s of another seed: another ring; of the random wiring the same
connections, other noise. beat: the same from counts in its three states, and whether intervals and sizes of events in
free-running sequences are told apart from the network's by Kolmogorov-Smirnov tests at n = 200. Of all three also by
lead time, and how well an event's onset is predicted within some ms. further: models that learned from other strengths,
and a ring whose external input changes. seed: the published figures beside what no skill gives.

The last line is one JSON object: ring, random, beat (below_ridge_percent by input and by lead, onset, ks_passed,
times_real_time), further, seed.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from mfe_events import BEAT, BEGIN_MS, RING, Thresholds, events_of, onset_scores, onsets, passed, quiet_ms
from mfe_further import SETTLE_MS, SKIP_MS, below, by_lead, driven, other_strengths
from rich.console import Console
from rich.table import Table

from simulators.firing_events.networks import BeatNetwork, LiveNetwork, RingNetwork
from surrogates.sequences.baselines import hazard, lagged, ridge
from surrogates.sequences.floor import exact_floor
from surrogates.sequences.inputs import by_segment, global_state, local_state, past_counts
from surrogates.sequences.measures import mean_squared_error, poisson_deviance
from surrogates.sequences.models import CountModel, Plan, SegmentModel, train_counts, train_segments
from surrogates.sequences.published import NextStepLSTM

console = Console()
S = 0.05
BEATS = {"0.40": 0.40, "0.416": 0.416, "0.427": 0.427}
PARTS = ("ring", "random", "beat", "further", "seed")
FREE_RUNS, FREE_MS = 12, 3000


class Seen(NamedTuple):
    """A stretch of a network: counts, and what models see."""

    counts: np.ndarray
    past: np.ndarray
    whole: np.ndarray
    local: np.ndarray | None
    segments: np.ndarray


def seen(live: LiveNetwork, seconds: int, local: bool) -> Seen:
    """In parts of 10 s, for the memory."""
    parts, n = [], live.excitatory
    for _ in range(0, seconds, 10):
        a = live.advance(10_000, raster=True, snapshots=True)
        assert a.raster is not None
        assert a.snapshots is not None
        spikes = a.raster[:, :n].reshape(-1, 10, n).sum(1)
        places = local_state(a.snapshots, n) if local else np.empty((len(spikes), 0, 30), np.float32)
        parts.append((a.per_ms.astype(np.float32), global_state(a.snapshots, n), places, by_segment(spikes)))
    counts, whole, places, segments = (np.concatenate(x) for x in zip(*parts, strict=True))
    return Seen(counts, past_counts(counts), whole, places if local else None, segments)


def speed(live: LiveNetwork) -> float:
    """Simulated over processor time, one core."""
    live.advance(10)
    start = time.process_time()
    live.advance(4000)
    return round(4.0 / (time.process_time() - start), 1)


def baselines(learned: np.ndarray, tested: np.ndarray, thresholds: Thresholds) -> dict[str, np.ndarray]:
    """E spikes of each tested ms predicted without a network; hazard: by the time since the last event's onset."""
    y, quiet = learned[:, 0], [quiet_ms(onsets(x, thresholds)) for x in (learned, tested)]
    return {
        "constant": np.full(len(tested), y.mean()),
        "persistence": np.concatenate([[y.mean()], tested[:-1, 0]]),
        "ridge": ridge(lagged(learned), y)(lagged(tested)),
        "hazard": hazard(quiet[0], y)(quiet[1]),
    }


def ring(wiring: str, minutes: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, local = RingNetwork(wiring=wiring), wiring == "ring"
    live = network.start(S, np.random.default_rng(1))
    live.advance(SETTLE_MS)
    fast = speed(live.copy())
    learned = seen(live, round(60 * minutes), local)
    # Another ring is as good as this one; in random wiring it is these connections that are learned.
    other = network.start(S, np.random.default_rng(77)) if local else live.copy(seed=99)
    other.advance(SETTLE_MS)
    floor = exact_floor(other, 1000, 23, 1, 60)
    tested = seen(other, 60, local)
    predicted = baselines(learned.counts, tested.counts, RING)
    both = [np.concatenate([x.past, x.whole], 1) for x in (learned, tested)]
    models: dict[str, CountModel] = {}
    for name, (a, b), plan in (
        ("counts", (learned.past, tested.past), Plan(12)), ("global", both, Plan(16)),
    ):  # fmt: skip
        models[name] = train_counts(CountModel(a.shape[1], counts="poisson"), a, learned.counts, plan)
        predicted[name] = models[name].expected(b)
    if learned.local is not None and tested.local is not None:
        places = train_segments(SegmentModel(learned.local.shape[1]), learned.local, learned.segments)
        predicted["local"] = places.expected(tested.local)
    y = tested.counts[SKIP_MS:, 0]
    errors = {name: mean_squared_error(y, x[SKIP_MS:]) for name, x in predicted.items()}
    errors["floor"] = float(floor.variance.mean())
    deviance = {name: round(poisson_deviance(y, x[SKIP_MS:]), 3) for name, x in predicted.items()}
    return {
        "times_real_time": fast,
        "below_ridge_percent": below(errors),
        "mean_squared_error": {name: round(e, 2) for name, e in errors.items()},
        "poisson_deviance": deviance,
        "below_ridge_percent_by_lead": by_lead(models["counts"], learned.counts, tested.counts, other),
        "onset": onset_scores(models["counts"], learned.counts, tested.counts, RING),
    }


def further(minutes: float) -> dict[str, Any]:
    """Strengths that were not learned from, and a ring with an external input that changes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    for name, network, strength in (
        ("ring", RingNetwork(), S), ("random", RingNetwork(wiring="random"), S), ("beat", BeatNetwork(), 0.416),
    ):  # fmt: skip
        live = network.start(strength, np.random.default_rng(77))
        live.advance(SETTLE_MS)
        tested = live.advance(60_000).per_ms.astype(np.float32)
        found[f"{name}_other_strengths"] = other_strengths(network, minutes, tested)
    return found | {"driven": driven(RingNetwork(), S, minutes)}


def likeliest(x: np.ndarray, counts: np.ndarray, starts: int = 3) -> CountModel:
    """Of models that began elsewhere, the one to which the last tenth of the data, kept from it, is likeliest."""
    kept, found = round(0.9 * len(x)), []
    for seed in range(starts):
        torch.manual_seed(seed)
        plan = Plan(passes=20, batch=16, stretch_ms=150, seed=seed)
        found.append(train_counts(CountModel(x.shape[1], hidden=96), x[:kept], counts[:kept], plan))
    return min(found, key=lambda model: model.surprise(x[kept:], counts[kept:]))


def beat(c: float, minutes: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    live = BeatNetwork().start(c, np.random.default_rng(1))
    live.advance(SETTLE_MS)
    fast = speed(live.copy())
    counts = live.advance(round(60_000 * minutes)).per_ms.astype(np.float32)
    other = live.copy(seed=99)
    other.advance(SETTLE_MS)
    floor = exact_floor(other, 700, 7, 1, 40)
    tested = other.advance(60_000).per_ms.astype(np.float32)
    x, y = past_counts(counts), tested[SKIP_MS:, 0]
    model = likeliest(x, counts)
    predicted = baselines(counts, tested, BEAT) | {"counts": model.expected(past_counts(tested))}
    errors = {name: mean_squared_error(y, p[SKIP_MS:]) for name, p in predicted.items()}
    errors["floor"] = float(floor.variance.mean())
    starts = np.linspace(1000, len(tested) - 1000, FREE_RUNS).astype(int)
    free = model.free_run(np.stack([tested[s : s + BEGIN_MS] for s in starts]), FREE_MS, seed=0)
    own = [events_of(run[500:], BEAT) for run in free]
    true, again = (events_of(x, BEAT) for x in np.array_split(tested, 2))
    sizes, intervals = (np.concatenate(v) for v in ([e.size for e in own], [e.intervals_ms for e in own]))
    return {
        "times_real_time": fast,
        "below_ridge_percent": below(errors),
        "mean_squared_error": {name: round(e, 2) for name, e in errors.items()},
        "ks_passed": {
            "intervals": passed(intervals, true.intervals_ms),
            "sizes": passed(sizes.astype(float), true.size.astype(float)),
            "network_intervals": passed(again.intervals_ms, true.intervals_ms),
            "network_sizes": passed(again.size.astype(float), true.size.astype(float)),
        },
        "below_ridge_percent_by_lead": by_lead(model, counts, tested, other, states=500),
        "onset": onset_scores(model, counts, tested, BEAT),
    }


def published(seeds: int = 5) -> dict[str, Any]:
    """Both published experiments, 1 s, the last 100 steps predicted, beside what no skill gives."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: dict[str, list[float]] = {}
    for seed in range(seeds):
        live = RingNetwork().start(S, np.random.default_rng(seed))
        live.advance(200)
        run = live.advance(1000, raster=True)
        assert run.raster is not None
        for step, cells in ((".1 ms", run.raster[:1000]), ("1 ms", run.raster.reshape(1000, 10, -1).max(1))):
            model = NextStepLSTM(cells.shape[1]).train_on(cells[:-100], passes=5, seed=seed)
            told, true = model.predict(cells)[-100:] > 0.5, cells[-100:] > 0
            for name, value in (
                (f"neurons right, {step}", (told == true).mean()),
                (f"neurons right, always silent, {step}", 1 - true.mean()),
                (f"vectors right, {step}", (told == true).all(1).mean()),
                (f"vectors right, always silent, {step}", (~true).all(1).mean()),
            ):
                rows.setdefault(name, []).append(100 * float(value))
        for step, sums in ((".1 ms", run.counts[:1000, :2]), ("1 ms", run.per_ms)):
            model = NextStepLSTM(2, window=20, hidden=32).train_on(sums[:-100], passes=25, seed=seed)
            told, true = model.predict(sums)[-100:], sums[-100:]
            rows.setdefault(f"MSE of sums, LSTM, {step}", []).append(float(np.mean((told - true) ** 2)))
            rows.setdefault(f"MSE of sums, constant, {step}", []).append(
                float(np.mean((sums[:-100].mean(0) - true) ** 2))
            )
    found: dict[str, Any] = {"published": {"accuracy_percent": 54.7, "mse": 2.11}}
    return found | {name: [round(float(np.mean(v)), 2), round(float(np.std(v)), 2)] for name, v in rows.items()}


def show(result: dict[str, Any]) -> None:
    table = Table("network", "below ridge, %", "times real time", "KS passed")
    for name in ("ring", "random"):
        if name in result:
            one = result[name]
            told = ", ".join(f"{k} {v}" for k, v in one["below_ridge_percent"].items())
            table.add_row(name, told, str(one["times_real_time"]), "")
    for c, one in result.get("beat", {}).items():
        told = ", ".join(f"{k} {v}" for k, v in one["below_ridge_percent"].items())
        table.add_row(
            f"beat {c}", told, str(one["times_real_time"]), ", ".join(f"{k} {v}" for k, v in one["ks_passed"].items())
        )
    console.print(table)
    for part in ("further", "seed"):
        for name, value in result.get(part, {}).items():
            console.print(f"{name}: {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--minutes", type=float, default=3.0, help="of a network, to learn from")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}; parts are {', '.join(PARTS)}")
    result: dict[str, Any] = {}
    with ProcessPoolExecutor(arguments.workers) as pool:
        jobs = {name: pool.submit(ring, name, arguments.minutes) for name in ("ring", "random") if name in parts}
        beats = {name: pool.submit(beat, c, arguments.minutes) for name, c in BEATS.items()} if "beat" in parts else {}
        if "further" in parts:
            jobs["further"] = pool.submit(further, arguments.minutes)
        if "seed" in parts:
            jobs["seed"] = pool.submit(published)
        for name, job in jobs.items():
            result[name] = job.result()
        if beats:
            result["beat"] = {name: job.result() for name, job in beats.items()}
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
