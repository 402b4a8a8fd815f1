"""Models of counts where they are not at home: several ms ahead, at strengths not learned from, with a driven input."""

from typing import Any

import numpy as np
from mfe_events import BEGIN_MS

from simulators.firing_events.networks import BeatNetwork, LiveNetwork, RingNetwork
from surrogates.sequences.baselines import lagged, ridge
from surrogates.sequences.floor import exact_floor
from surrogates.sequences.inputs import COUNT_INPUTS, past_counts
from surrogates.sequences.measures import mean_squared_error
from surrogates.sequences.models import CountModel, Plan, train_counts

LEADS = (1, 2, 3, 5, 10)
SETTLE_MS, SKIP_MS = 500, 100
_OTHER_S, _OTHER_C = (0.035, 0.04, 0.045, 0.055), (0.40, 0.408, 0.422, 0.427)


def below(errors: dict[str, float], reference: str = "ridge") -> dict[str, float]:
    """Percent by which each error lies below that of the reference."""
    skipped = (reference, "constant", "persistence")
    return {name: round(100 * (1 - e / errors[reference]), 1) for name, e in errors.items() if name not in skipped}


def by_lead(
    model: CountModel,
    learned: np.ndarray,
    tested: np.ndarray,
    network: LiveNetwork,
    states: int = 2000,
    draws: int = 40,
) -> dict[str, Any]:
    """Squared error of the E spikes so many ms ahead, below that of a ridge regression of its own for each lead.

    By the mean of sequences that the model draws, whose scatter adds 1 / draws of the variance, at the same instants;
    and by the exact floor.
    """
    at = np.linspace(1000, len(tested) - 50, states).astype(int)
    expected = []
    for part in np.array_split(at, 10):
        before = np.repeat(np.stack([tested[t - BEGIN_MS : t] for t in part]), draws, axis=0)
        drawn = model.free_run(before, max(LEADS), seed=int(part[0]))
        expected.append(drawn[..., 0].reshape(len(part), draws, -1).mean(1))
    ahead, floor = np.concatenate(expected), exact_floor(network, 1000, 23, max(LEADS), 60)
    x, z, found = lagged(learned), lagged(tested), {}
    for lead in LEADS:
        linear = ridge(x[: len(x) - lead + 1], learned[lead - 1 :, 0])(z[: len(z) - lead + 1])
        real = tested[lead - 1 :, 0]
        whole = mean_squared_error(real[SKIP_MS:], linear[SKIP_MS:])
        errors = [mean_squared_error(real[at], guess) for guess in (linear[at], ahead[:, lead - 1])]
        found[f"{lead} ms"] = {
            "counts": round(100 * (1 - errors[1] / errors[0]), 1),
            "floor": round(100 * (1 - float(floor.variance[:, lead - 1].mean()) / whole), 1),
        }
    return found


def other_strengths(network: RingNetwork | BeatNetwork, minutes: float, tested: np.ndarray) -> dict[str, float]:
    """Learned from four strengths, none of which is that of the tested counts; ridge from the same four."""
    strengths = _OTHER_S if isinstance(network, RingNetwork) else _OTHER_C
    runs = []
    for k, strength in enumerate(strengths):
        live = network.start(strength, np.random.default_rng(200 + k))
        live.advance(SETTLE_MS)
        runs.append(live.advance(round(60_000 * minutes / len(strengths))).per_ms.astype(np.float32))
    seen, counts = (np.concatenate(x) for x in ([past_counts(run) for run in runs], runs))
    y = tested[SKIP_MS:, 0]
    if isinstance(network, RingNetwork):
        model = train_counts(CountModel(COUNT_INPUTS, counts="poisson"), seen, counts, Plan(12))
    else:
        plan = Plan(passes=20, batch=16, stretch_ms=150)
        model = train_counts(CountModel(COUNT_INPUTS, hidden=96), seen, counts, plan)
    linear = ridge(np.concatenate([lagged(run) for run in runs]), counts[:, 0])(lagged(tested))
    return below(
        {
            "ridge": mean_squared_error(y, linear[SKIP_MS:]),
            "counts": mean_squared_error(y, model.expected(past_counts(tested))[SKIP_MS:]),
        }
    )


def slow_signal(ms: int, seed: int, sd: float = 0.2, tau_ms: float = 20.0) -> np.ndarray:
    """A factor of the external rate that wanders around 1, in steps of 1/64 from .4 to 1.6."""
    keep = np.exp(-1 / tau_ms)
    noise, x = np.random.default_rng(seed).normal(0, sd * np.sqrt(1 - keep**2), ms), np.zeros(ms)
    for k in range(1, ms):
        x[k] = keep * x[k - 1] + noise[k]
    return np.rint(64 * np.clip(1 + x, 0.4, 1.6)) / 64


def driven(network: RingNetwork, S: float, minutes: float) -> dict[str, float]:
    """A ring whose external rate changes: models that see the signal and one that does not, below ridge without it."""
    runs, signals = [], []
    for seed, ms in ((1, round(60_000 * minutes)), (77, 60_000)):
        live = network.start(S, np.random.default_rng(seed))
        live.advance(SETTLE_MS)
        signals.append(slow_signal(ms, seed))
        runs.append(live.advance(ms, signals[-1]).per_ms.astype(np.float32))
    other = network.start(S, np.random.default_rng(78))
    other.advance(SETTLE_MS)
    floor = exact_floor(other, 1000, 23, 1, 60, signal=slow_signal(24_000, 79))
    y, past, lags = runs[1][SKIP_MS:, 0], [past_counts(run) for run in runs], [lagged(run) for run in runs]
    given = [signal[:, None].astype(np.float32) - 1 for signal in signals]
    errors = {"floor": float(floor.variance.mean())}
    for name, x in (
        ("ridge", lags),
        ("ridge_with_input", [np.concatenate(p, 1) for p in zip(lags, given, strict=True)]),
    ):
        errors[name] = mean_squared_error(y, ridge(x[0], runs[0][:, 0])(x[1])[SKIP_MS:])
    for name, external, x in (
        ("counts", 0, past), ("counts_with_input", 1, [np.concatenate(p, 1) for p in zip(past, given, strict=True)]),
    ):  # fmt: skip
        model = train_counts(CountModel(COUNT_INPUTS, external, counts="poisson"), x[0], runs[0], Plan(12))
        errors[name] = mean_squared_error(y, model.expected(x[1])[SKIP_MS:])
    return below(errors)
