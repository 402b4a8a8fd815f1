"""Recordings that no Brunel network made: which estimators answer them without a word?

    python scripts/evaluate_strangers.py                  the shipped CNN and neural posterior, both ranges
    python scripts/evaluate_strangers.py --gradient       the gradient fit as well (several minutes)
    python scripts/evaluate_strangers.py --retrain        train both on the reference campaign first

300 strange recordings a range, 25 of each of twelve kinds, loud and shaped over the channels as a test recording is. An
answer is silent if it is trusted; a refusal is none. The last line is one JSON object: for each range and estimator the
silent answers by kind and in total, and false_alarms_percent on test simulations that were used for nothing else.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import resample_poly

from inference.estimators.base import BaseEstimator
from inference.workflows.shipped import reference_campaign, reference_tests, shipped_estimators
from inference.workflows.study import split_rows, study_of
from inference.workflows.train import spectral_study, untrained_estimators
from simulators.recording import Recording

console = Console()
SEED = 4000
EACH = 25
Values = np.ndarray


def coloured(rng: np.random.Generator, shape: tuple[int, ...], exponent: float) -> Values:
    """Noise whose power falls with the frequency to the power of ``exponent``."""
    spectrum = np.fft.rfft(rng.standard_normal(shape))
    weight = np.maximum(np.arange(spectrum.shape[-1]), 1.0) ** (-exponent / 2)
    return np.fft.irfft(spectrum * weight, shape[-1])


def as_loud(values: Values, like: Values) -> Values:
    """With the standard deviation of every channel of ``like``; one row is what all channels share."""
    values = np.broadcast_to(values, like.shape)
    return values / values.std(1, keepdims=True) * like.std(1, keepdims=True)


def sine(like: Values, rng: np.random.Generator) -> Values:
    """One frequency, with a hundredth of white noise."""
    wave = np.sin(2 * np.pi * rng.uniform(5, 400) * np.arange(like.shape[1]) / 1e3 + rng.uniform(0, 2 * np.pi))
    return as_loud(wave + 0.01 * rng.standard_normal(like.shape), like)


def shuffled(like: Values, rng: np.random.Generator) -> Values:
    order = np.arange(len(like))
    while (order == np.arange(len(like))).all():
        order = rng.permutation(len(like))
    return like[order]


def one_channel(factor: float) -> Callable[[Values, np.random.Generator], Values]:
    def changed(like: Values, rng: np.random.Generator) -> Values:
        return like * np.where(np.arange(len(like)) == rng.integers(len(like)), factor, 1.0)[:, None]

    return changed


def line(like: Values, rng: np.random.Generator) -> Values:
    """50 or 60 Hz in all channels, a fifth to a half of the signal."""
    wave = np.sin(2 * np.pi * rng.choice([50, 60]) * np.arange(like.shape[1]) / 1e3)
    return like + rng.uniform(0.2, 0.5) * like.std(1, keepdims=True) * 2**0.5 * wave


def faster(like: Values, rng: np.random.Generator) -> Values:
    return resample_poly(like, 100, round(100 * rng.uniform(1.25, 2)), axis=1)


def slower(like: Values, rng: np.random.Generator) -> Values:
    return resample_poly(like, round(100 * rng.uniform(1.25, 2)), 100, axis=1)[:, : like.shape[1]]


KINDS: dict[str, Callable[[Values, np.random.Generator], Values]] = {
    "white noise": lambda x, rng: as_loud(rng.standard_normal(x.shape), x),
    "white noise, shared": lambda x, rng: as_loud(rng.standard_normal((1, x.shape[1])), x),
    "1/f noise": lambda x, rng: as_loud(coloured(rng, x.shape, 1.0), x),
    "1/f noise, shared": lambda x, rng: as_loud(coloured(rng, (1, x.shape[1]), rng.uniform(1, 2)), x),
    "sine": sine,
    "channels shuffled": shuffled,
    "channels reversed": lambda x, rng: x[::-1],
    "one channel halved": one_channel(0.5),
    "one channel doubled": one_channel(2.0),
    "sampled 1.25-2x too slowly": faster,
    "sampled 1.25-2x too fast": slower,
    "line": line,
}


def strange(kind: str, recordings: list[Recording]) -> list[Recording]:
    """``EACH`` recordings of one kind, made from or shaped like others."""
    rng = np.random.default_rng([SEED, list(KINDS).index(kind)])
    chosen = [recordings[i] for i in rng.choice(len(recordings), EACH, replace=False)]
    first = chosen[0]
    return [
        Recording(KINDS[kind](r.steady.astype(float), rng), first.sampling_rate, first.unit, first.channels)
        for r in chosen
    ]


def trusts(estimator: BaseEstimator, recording: Recording) -> bool:
    try:
        return estimator.estimate(recording).trusted
    except ValueError:
        return False


def evaluate(name: str, retrain: bool, gradient: bool) -> dict:
    """Silent answers and false alarms of the estimators of one range."""
    campaign = reference_campaign(name)
    rows, test = split_rows(campaign, reference_tests(name))
    study = spectral_study(campaign, test=reference_tests(name)) if retrain else study_of(campaign)
    _, tested = study.recordings(campaign, test)
    estimators = [e for e in shipped_estimators(name) if gradient or e.kind != "gradient"]
    if retrain:
        theta, taught = study.recordings(campaign, rows)
        untrained = untrained_estimators(campaign.parameters, study.features)
        fresh = [untrained[kind]().fit(theta, taught) for kind in ("cnn", "npe")]
        estimators = [*fresh, *(e for e in estimators if e.kind == "gradient")]
    found = {}
    for estimator in estimators:
        silent = {
            kind: sum(trusts(estimator, r) for r in strange(kind, tested))
            for kind in track(KINDS, f"{name} {estimator.kind}", transient=True)
        }
        alarms = 100 * float(np.mean([not trusts(estimator, r) for r in tested]))
        found[estimator.kind] = {
            "silent": silent,
            "silent_total": sum(silent.values()),
            "of": EACH * len(KINDS),
            "false_alarms_percent": round(alarms, 2),
        }
    return found


def show(name: str, found: dict) -> None:
    table = Table("kind", *found, title=f"range {name}: answers that are trusted, of {EACH}")
    for kind in KINDS:
        table.add_row(kind, *(str(f["silent"][kind]) for f in found.values()))
    table.add_row("all", *(f"{f['silent_total']} of {f['of']}" for f in found.values()))
    table.add_row("false alarms %", *(str(f["false_alarms_percent"]) for f in found.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--range", choices=["asynchronous", "full", "both"], default="both")
    parser.add_argument("--retrain", action="store_true", help="train the CNN and the posterior first")
    parser.add_argument("--gradient", action="store_true", help="the gradient fit as well")
    arguments = parser.parse_args()
    out = {}
    for name in ["asynchronous", "full"] if arguments.range == "both" else [arguments.range]:
        out[name] = evaluate(name, arguments.retrain, arguments.gradient)
        show(name, out[name])
    print(json.dumps(out))


if __name__ == "__main__":
    main()
