"""Networks that differ from those the estimators learned: how wrong are the estimates, and are they warned about?

    python scripts/evaluate_robustness.py                        30 networks for each condition (20 minutes)
    python scripts/evaluate_robustness.py --only one-channel     one contact of unknown gain alone
    python scripts/evaluate_robustness.py --only probe           the six contacts alone

Conditions follow Skaar et al. 2020: delay, threshold, spread of threshold, membrane time constant and refractory period
over neurons, delays that differ between connections; and beyond them other constants and fewer neurons. A recording is
flagged where an estimator says not to trust its answer. The last line is one JSON object: by condition the bias of each
estimator (% of the range) and flagged_percent; control_flagged_percent for networks of the kind that was learned;
far_flagged_percent over the conditions farthest from it; noise_fitted_along: the gradient fit on networks as learned,
with noise in the channels that it fits along.

one_channel: as before with one contact alone, 10 to 200 Hz, of unknown gain and depth, by the fit of 'circuitsbi
explain' to the asynchronous network, whichever --range. Of networks as learned also with a background (a power of the
frequency with a knee, and white noise) of so many times the network's power at 10 Hz, which the fit reckons with
("fitted", as explain does) or not. Of each the bias, error and coverage of 90 % intervals; flagged_percent; and
rough_percent: how often intervals are said to be rough, on which explain shows no numbers that look trusted.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.scores import score
from inference.explaining.fits import explained_by
from inference.explaining.spectra import middle, one_channel
from inference.fitting.descent import FAR_FROM_NORMAL
from inference.reports.tables import show as shown
from inference.workflows.brunel import range_of
from inference.workflows.explain import shipped_circuits
from inference.workflows.shipped import shipped_estimators
from inference.workflows.study import study_of
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import BrunelNetwork
from simulators.campaigns.run import run_campaign
from simulators.fields.probes import LaminarProbe
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.background import Background, coloured

console = Console()
SEED = 3000
CONTROL = "as learned"
ONE_CHANNEL_FIT = "brunel-asynchronous"
CONDITIONS: dict[str, BrunelNetwork] = {
    CONTROL: BrunelNetwork(),
    "delay 1.25 ms": BrunelNetwork(delay_ms=1.25, dt_ms=0.05),
    "delay 1.4 ms": BrunelNetwork(delay_ms=1.4),
    "delay 1.6 ms": BrunelNetwork(delay_ms=1.6),
    "delay 1.75 ms": BrunelNetwork(delay_ms=1.75, dt_ms=0.05),
    "threshold 12 mV": BrunelNetwork(threshold_mV=12.0),
    "threshold 16 mV": BrunelNetwork(threshold_mV=16.0),
    "threshold 24 mV": BrunelNetwork(threshold_mV=24.0),
    "threshold 28 mV": BrunelNetwork(threshold_mV=28.0),
    "membrane time constant 15 ms": BrunelNetwork(membrane_time_constant_ms=15.0),
    "membrane time constant 25 ms": BrunelNetwork(membrane_time_constant_ms=25.0),
    "refractory period 1 ms": BrunelNetwork(refractory_ms=1.0),
    "refractory period 3 ms": BrunelNetwork(refractory_ms=3.0),
    "threshold spread over 12-28 mV": BrunelNetwork(threshold_spread_mV=8.0),
    "membrane time constant spread over 2-38 ms": BrunelNetwork(membrane_time_constant_spread_ms=18.0),
    "refractory period spread over 0.2-3.8 ms": BrunelNetwork(refractory_spread_ms=1.8),
    "delays spread over 1-2 ms": BrunelNetwork(delay_spread_ms=0.5),
    "10,000 neurons": BrunelNetwork(order=2000),
    "5,000 neurons": BrunelNetwork(order=1000),
}
NOISE = (0.001, 0.01, 0.1)
"""White noise of the channels, as a share of the signal's standard deviation."""

FAR = (
    "delay 1.25 ms",
    "delay 1.75 ms",
    "threshold 12 mV",
    "threshold 28 mV",
    "threshold spread over 12-28 mV",
    "membrane time constant spread over 2-38 ms",
    "delays spread over 1-2 ms",
    "5,000 neurons",
)
"""The ends of what the poster tried, and the smallest network; thetas are drawn from the range that was learned.

A spread of refractory periods is none of them: even the widest moves no estimate by more than 3 % of its range.
"""

BACKGROUNDS = (0.0, 0.1, 0.3, 1.0)
"""Of one channel: power at 10 Hz over the network's."""

ALSO_ON_ONE_CHANNEL = ("membrane time constant 15 ms", "membrane time constant 25 ms", "10,000 neurons")
FEW = 10
_AROUND_10_HZ = 3.0
_AT_ONCE = 10


def flagged(estimates: list[Estimate]) -> bool:
    return any("do not trust" in w for e in estimates for w in e.warnings)


def rough(estimate: Estimate) -> bool:
    return any(w.startswith(FAR_FROM_NORMAL) for w in estimate.warnings)


def answers(estimator: BaseEstimator, recordings: Sequence[Recording], label: str) -> list[Estimate]:
    """Of a gradient fit that screens no places several at once, which is faster."""
    if not isinstance(estimator, GradientFit) or estimator.descent.screened:
        return [estimator.estimate(r) for r in track(recordings, label, transient=True)]
    some = [recordings[k : k + _AT_ONCE] for k in range(0, len(recordings), _AT_ONCE)]
    return [e for each in track(some, label, transient=True) for e in estimator.estimate_each(each)]


def networks(name: str, space: ParameterSpace, n: int) -> tuple[np.ndarray, list[Recording]]:
    """Thetas and LFP of ``n`` networks of one condition."""
    network = CONDITIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        seed = SEED + list(CONDITIONS).index(name)
        campaign = run_campaign(CompiledBrunel(network, space), n, seed, Path(folder) / "c.zarr", 2, progress=False)
        return study_of(campaign).recordings(campaign, campaign.usable)


def tried(name: str, theta: np.ndarray, recordings: list[Recording], estimators: Sequence[BaseEstimator]) -> dict:
    """Bias, mean absolute error and coverage of every estimator on some recordings, and how many it flags."""
    estimates = {e.kind: answers(e, recordings, f"{name}, {e.kind}") for e in estimators}
    scores = {kind: score(theta, found).to_json() for kind, found in estimates.items()}
    alarms = {kind: [flagged([e]) for e in found] for kind, found in estimates.items()}
    return {
        "n": len(theta),
        **{
            key: {kind: s[key] for kind, s in scores.items()} for key in ("bias_percent", "error_percent", "coverage90")
        },
        "flagged_percent": round(100 * float(np.any(list(alarms.values()), axis=0).mean()), 1),
        "flagged_by": {kind: round(100 * float(np.mean(a)), 1) for kind, a in alarms.items()},
    }


def in_noise(recordings: list[Recording], share: float) -> list[Recording]:
    """With white noise in every channel of ``share`` of the signal's standard deviation, averaged over channels."""
    rng = np.random.default_rng(SEED)
    return [
        r.with_values(r.values + share * r.steady.std(1).mean() * rng.standard_normal(r.values.shape))
        for r in recordings
    ]


def in_background(recording: Recording, share: float, rng: np.random.Generator) -> Recording:
    """With a background drawn from the prior, of ``share`` times the recording's power around 10 Hz."""
    values, rate = recording.values, recording.sampling_rate
    n = values.shape[1]
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    drawn = torch.as_tensor(Background().draw(1, rng)[0]).float()
    density = Background().density(drawn, torch.as_tensor(frequencies.clip(min=1.0)).float()).numpy()
    near = np.abs(frequencies - 10.0) < _AROUND_10_HZ
    power = (np.abs(np.fft.rfft(values[0])[near]) ** 2).mean() / (n * rate)
    level = share * power / density[near].mean()
    return recording.with_values(values + coloured(level * density, values.shape, rate, rng))


def on_one_channel(name: str, theta: np.ndarray, recordings: list[Recording], fit: GradientFit) -> dict[str, dict]:
    """Variants of share of background, and whether it is fitted along; of other networks than those learned few."""
    if name == CONTROL:
        variants = [(share, fitted) for share in BACKGROUNDS for fitted in (False, True)]
    elif name in FAR or name in ALSO_ON_ONE_CHANNEL:
        variants = [(0.0, False), (BACKGROUNDS[-2], True)]
        theta, recordings = theta[:FEW], recordings[:FEW]
    else:
        return {}
    depths = np.array(LaminarProbe().depths_um)
    places = np.random.default_rng(SEED).integers(len(depths), size=len(theta))
    seen = [middle(one_channel(r, k)) for r, k in zip(recordings, places, strict=True)]
    theta = np.column_stack([theta, depths[places]])
    found = {}
    for share, fitted in variants:
        rng = np.random.default_rng([SEED, round(1000 * share)])
        mixed = [in_background(r, share, rng) for r in seen] if share else seen
        said = f"background {share:g}" + (", fitted" if fitted else "")
        bar = track(mixed, f"{name}, one channel, {said}", transient=True)
        found[said] = scored(theta, [alone(fit, recording, fitted) for recording in bar])
    return found


def alone(fit: GradientFit, recording: Recording, fitted: bool) -> tuple[Estimate, bool]:
    """What a fit says of one channel, with a background as 'explain' has it or without, and whether it refuses it."""
    explanation = explained_by(fit.kind, fit, recording) if fitted else None
    if explanation is not None and explanation.estimate is not None:
        return explanation.estimate, flagged([explanation.estimate])
    # 'explain' gives no numbers for what it refuses; here they are looked at.
    estimate = fit.with_nuisances(gain=True, background=fitted).estimate(recording)
    return estimate, fitted or flagged([estimate])


def scored(theta: np.ndarray, told: list[tuple[Estimate, bool]]) -> dict[str, Any]:
    estimates = [estimate for estimate, _ in told]
    figures = score(theta, estimates).to_json()
    return {key: figures[key] for key in ("bias_percent", "error_percent", "coverage90")} | {
        "n": len(told),
        "flagged_percent": round(100 * float(np.mean([refused for _, refused in told])), 1),
        "rough_percent": round(100 * float(np.mean([rough(estimate) for estimate in estimates])), 1),
    }


def show_one_channel(found: dict[str, dict[str, dict]], names: tuple[str, ...]) -> None:
    told = ", ".join(names)
    table = Table("one channel", "background, of the power at 10 Hz", f"error {told} (%)", f"bias {told} (%)",
                  f"coverage of 90 % intervals, {told}", "flagged %", "rough %")  # fmt: skip
    for condition, variants in found.items():
        for said, f in variants.items():
            errors = "  ".join(f"{f['error_percent'][p]:.1f}" for p in names)
            biases = "  ".join(f"{f['bias_percent'][p]:+.1f}" for p in names)
            held = "  ".join(f"{f['coverage90'][p]:.2f}" for p in names)
            flags = (f"{f['flagged_percent']:.0f}", f"{f['rough_percent']:.0f}")
            table.add_row(condition, said.removeprefix("background "), errors, biases, held, *flags)
    shown(console, table)


def show(found: dict, names: tuple[str, ...]) -> None:
    kinds = list(found[CONTROL]["bias_percent"])
    table = Table("condition", *(f"{kind}: bias {', '.join(names)} (%)" for kind in kinds), "flagged %")
    for condition, figures in found.items():
        biases = ["  ".join(f"{figures['bias_percent'][kind][p]:+.1f}" for p in names) for kind in kinds]
        table.add_row(condition, *biases, f"{figures['flagged_percent']:.0f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--range", choices=["asynchronous", "full"], default="asynchronous")
    parser.add_argument("--n", type=int, default=30, help="networks for each condition")
    parser.add_argument("--only", choices=["probe", "one-channel"], help="half of it")
    arguments = parser.parse_args()
    probe, single_too = arguments.only != "one-channel", arguments.only != "probe"
    space, estimators = range_of(arguments.range), shipped_estimators(arguments.range)
    one_channel_fit = shipped_circuits()[0][ONE_CHANNEL_FIT]
    found, noise, single = {}, {}, {}
    for name in CONDITIONS:
        if not probe and name != CONTROL and name not in (*FAR, *ALSO_ON_ONE_CHANNEL):
            continue
        n = arguments.n if probe or name == CONTROL else min(arguments.n, FEW)
        theta, recordings = networks(name, space, n)
        if single_too and (variants := on_one_channel(name, theta, recordings, one_channel_fit)):
            single[name] = variants
            for said, figures in variants.items():
                console.print(f"{name}, one channel, {said}: flagged {figures['flagged_percent']:.0f} %")
        if not probe:
            continue
        if name == CONTROL:
            fits = [e.with_nuisances(floor=True) for e in estimators if isinstance(e, GradientFit)]
            noise = {share: tried(f"noise {share}", theta, in_noise(recordings, share), fits) for share in NOISE}
        found[name] = tried(name, theta, recordings, estimators)
        console.print(f"{name}: flagged {found[name]['flagged_percent']:.0f} %  {found[name]['bias_percent']}")
    out: dict[str, Any] = {"range": arguments.range}
    if probe:
        show(found, space.names)
        far = [found[name]["flagged_percent"] for name in FAR]
        out |= {
            "conditions": found,
            "noise_fitted_along": noise,
            "control_flagged_percent": found[CONTROL]["flagged_percent"],
            "far_flagged_percent": round(float(np.mean(far)), 1),
        }
    if single_too:
        show_one_channel(single, space.names)
        out["one_channel"] = single
    print(json.dumps(out))


if __name__ == "__main__":
    main()
