"""Groups of recordings: one gain for all, and differences between groups, on studies whose truth is known.

    python scripts/evaluate_studies.py                           from what ships, 20 minutes on two cores
    python scripts/evaluate_studies.py --scratch FOLDER           keep the simulations, and go on with those there
    python scripts/evaluate_studies.py --parts gain               some of gain, depth, background, studies

Gain: sets of 20 recordings at one EEG electrode, each of another asynchronous network that nothing was learned from,
of one unknown gain; errors of the gradient fit with the gain known, unknown, and inferred from all 20, and of a neural
posterior of relative spectra, which learned the power besides.

Depth: sets of 20 recordings by three contacts that all lie up to 100 um higher or lower than is said; errors of a
neural posterior with the depth known, of one that learned it along, and with the depth inferred from all 20.

Background: sets of 20 recordings by one contact at one depth, of one gain, each of another fresh network, with
backgrounds of one exponent that make 10 to 60 % of the power; errors of the posterior that ships as one-channel,
alone, and with gain and exponent inferred from all 20. (That gain holds what the unknown depth makes of the size.)

Studies: fresh networks over all states, one contact of unknown gain and depth, answered by the posterior that ships as
one-channel. In a group a parameter's probit is normal; groups of 5, 20 and 60 differ by nothing in every other
study, and half of them are paired (the same subjects twice). Beside the hierarchical model Student's t-test (Welch's,
or of pairs) on the point estimates. What is right is the difference of the groups' true means.

The last line is one JSON object: shared_gain_error_percent of g (of its range, the neural posterior), shared by
estimator with error_percent, coverage50 and coverage90 by parameter for a gain known, unknown and shared, and
gain_error_sds (root mean square error of the log gain, in its own standard deviations); depth and background
by what is known or shared, with the same, and the mean absolute error of what is shared by one recording and by all;
difference_coverage90, false_alarms_percent and found_percent by group size, and the t-test's beside them.
"""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from make_one_channel import RANGE, contacts, drawn_exponent, seen
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats
from scipy.special import ndtr, ndtri

from inference.estimate import Estimate
from inference.estimators.along import DEPTH, EXPONENT, LOG_GAIN
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.estimators.neural_posterior import NeuralPosterior
from inference.explaining.spectra import FEATURES
from inference.groups.hierarchical import difference, paired_difference
from inference.groups.shared import share
from inference.workflows.shipped import SHIPPED, reference_campaign, reference_tests
from inference.workflows.study import study_of
from inference.workflows.train import spectral_study, train
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.fields.probes import LaminarProbe, parse_probe
from simulators.interface import ParameterSpace
from surrogates.spectra.additions import Additions

console = Console()
SEED = 1700
OF_ONE_GAIN = 20
SIZES = (5, 20, 60)
LEVELS, SPREADS, SHIFTS = (-0.4, 0.4), (0.25, 0.6), (0.2, 0.8)  # of probits, drawn evenly
CHANGE = 0.2  # spread of the changes of paired subjects
THREE_CONTACTS_UM, WITHIN_UM = (0.0, -150.0, -300.0), 100.0
SHARES = (0.1, 0.6)  # of the power, that a background makes
MASS = 0.9
AT_ONCE = 50


class Pool(NamedTuple):
    """Answered recordings to draw subjects from, by parameter in the unit cube."""

    truth: np.ndarray
    draws: np.ndarray
    points: np.ndarray


class Truth(NamedTuple):
    """A simulated study."""

    n: int
    parameter: int
    paired: bool
    shift: float
    seed: int


def of_one_gain(sets: int) -> dict[str, Any]:
    """Errors with a gain that is known, unknown, and inferred from all recordings that share it."""
    campaign, test = reference_campaign("asynchronous"), reference_tests("asynchronous")
    study = spectral_study(campaign, probe=parse_probe("angles=0"), test=test, relative=True)
    fit = next(e for _, e in train(study, campaign, ["gradient"], test=test, progress=False))
    assert isinstance(fit, GradientFit)
    rows, n, names = campaign.usable, sets * OF_ONE_GAIN, campaign.parameters
    theta = campaign.theta[rows]
    recordings = [study.observe(s, t) for s, t in zip(campaign.recordings(rows), theta, strict=True)]
    learned, tested = slice(0, len(rows) - test), slice(len(rows) - test, len(rows) - test + n)
    posterior = NeuralPosterior(names, study.features).fit(theta[learned], recordings[learned])
    gains = np.exp(np.random.default_rng(SEED).standard_normal(sets)).repeat(OF_ONE_GAIN)
    scaled = [r.with_values(r.values * g) for r, g in zip(recordings[tested], gains, strict=True)]
    known, found = fit.with_nuisances(gain=False), dict[str, list[Estimate]]()
    for k in track(range(0, n, AT_ONCE), "one gain", transient=True):
        for name, one, some in (("known", known, recordings[tested]), ("unknown", fit, scaled)):
            found.setdefault(f"gradient fit, gain {name}", []).extend(one.estimate_each(some[k : k + AT_ONCE]))
    found["posterior, gain unknown"] = [posterior.estimate(r) for r in scaled]
    off = {}
    for kind in ("gradient fit", "posterior"):
        alone = found[f"{kind}, gain unknown"]
        shared = [share(alone[k : k + OF_ONE_GAIN], "log_gain") for k in range(0, n, OF_ONE_GAIN)]
        found[f"{kind}, gain shared"] = [e for one in shared for e in one.estimates]
        told = np.array([one.mean_sd(LOG_GAIN) for one in shared])
        errors = (told[:, 0] - np.log(gains[::OF_ONE_GAIN])) / told[:, 1]
        off[f"{kind}, gain shared"] = {"gain_error_sds": round(float(np.sqrt(np.mean(errors**2))), 2)}
    return {
        name: scores(estimates, names, theta[tested]) | off.get(name, {}) for name, estimates in sorted(found.items())
    }


def of_one_depth(sets: int) -> dict[str, Any]:
    """Errors with the probe's depth known, unknown, and inferred from all recordings by one probe."""
    campaign, test = reference_campaign("asynchronous"), reference_tests("asynchronous")
    studies = [
        spectral_study(campaign, probe=LaminarProbe(THREE_CONTACTS_UM), test=test, depth_within_um=within)
        for within in (None, WITHIN_UM)
    ]
    known, unknown = (
        next(e for _, e in train(study, campaign, ["npe"], test=test, progress=False, depth_within_um=within))
        for study, within in zip(studies, (None, WITHIN_UM), strict=True)
    )
    study = studies[0]
    rows, rng = campaign.usable[-test:][: sets * OF_ONE_GAIN], np.random.default_rng([SEED, 2])
    theta, shifts = campaign.theta[rows], rng.uniform(-WITHIN_UM, WITHIN_UM, sets)
    found: dict[str, list[Estimate]] = {"depth known": [], "depth unknown": []}
    for shift, some in zip(shifts, np.split(np.arange(len(rows)), sets), strict=True):
        probe = LaminarProbe(tuple(depth + shift for depth in THREE_CONTACTS_UM))
        lower = study_of(campaign, probe=probe, features=study.features)
        for t, source in zip(theta[some], campaign.recordings(rows[some]), strict=True):
            moved = lower.observe(source, t)
            found["depth known"].append(known.estimate(study.observe(source, t)))
            found["depth unknown"].append(unknown.estimate(replace(moved, channels=unknown.channels)))
    out = {name: scores(estimates, campaign.parameters, theta) for name, estimates in found.items()}
    alone = found["depth unknown"]
    return out | shared_scores(alone, (DEPTH,), [{DEPTH: s} for s in shifts], campaign.parameters, theta)


def of_one_background(sets: int, networks: Campaign) -> dict[str, Any]:
    """Errors with gain and background unknown, and with both inferred from all recordings of a set."""
    posterior = load_estimator(SHIPPED / "one-channel" / "npe.safetensors")
    views, additions, rng = contacts(), Additions(band_hz=FEATURES.band), np.random.default_rng([SEED, 1])
    rows, space = networks.usable[: sets * OF_ONE_GAIN], networks.parameters
    theta, truth, alone = networks.theta[rows], list[dict[str, float]](), list[Estimate]()
    for some in track(np.split(np.arange(len(rows)), sets), "one background", transient=True):
        view, gain, exponent = views[rng.integers(len(views))], np.exp(rng.standard_normal()), drawn_exponent(rng)
        truth.append({LOG_GAIN: float(np.log(gain)), EXPONENT: exponent})
        for t, source in zip(theta[some], networks.recordings(rows[some]), strict=True):
            own = seen(view, source, t, space.names)
            recording = additions.added(own, rng.uniform(*SHARES), rng, exponent)
            alone.append(posterior.estimate(recording.with_values(gain * recording.values)))
    out = {"each alone": scores(alone, space, theta)}
    for names in ((LOG_GAIN,), (LOG_GAIN, EXPONENT)):
        out |= shared_scores(alone, names, truth, space, theta)
    return out


def shared_scores(
    alone: list[Estimate],
    names: tuple[str, ...],
    truth: list[dict[str, float]],
    space: ParameterSpace,
    theta: np.ndarray,
) -> dict[str, Any]:
    """Errors with these names shared by each set, and of what is shared itself."""
    shared = [share(alone[k : k + OF_ONE_GAIN], names) for k in range(0, len(alone), OF_ONE_GAIN)]
    found = scores([e for one in shared for e in one.estimates], space, theta)
    for name in names:
        told, right = np.array([one.mean_sd(name) for one in shared]), np.array([one[name] for one in truth])
        each = np.array([e.nuisances[name].mean() for e in alone]) - right.repeat(OF_ONE_GAIN)
        found[name] = {
            "error_alone": round(float(np.abs(each).mean()), 3),
            "error_shared": round(float(np.abs(told[:, 0] - right).mean()), 3),
            "error_sds": round(float(np.sqrt(np.mean(((told[:, 0] - right) / told[:, 1]) ** 2))), 2),
        }
    return {f"{', '.join(names)} shared": found | {"left_out": sum(len(one.left_out) for one in shared)}}


def scores(estimates: list[Estimate], space: ParameterSpace, theta: np.ndarray) -> dict[str, Any]:
    """Mean absolute error in % of the range, and how often intervals hold, by parameter."""
    points, truth = (space.to_unit(v) for v in (np.stack([e.point for e in estimates]), theta))
    out = {"error_percent": 100 * np.abs(points - truth).mean(0)}
    for mass in (0.5, 0.9):
        ends = np.stack([e.interval(mass) for e in estimates])
        out[f"coverage{100 * mass:.0f}"] = ((ends[..., 0] < theta) & (theta < ends[..., 1])).mean(0)
    return {key: dict(zip(space.names, np.round(v, 3).tolist(), strict=True)) for key, v in out.items()}


def fresh(n: int, scratch: Path, workers: int) -> Campaign:
    """Networks that nothing was learned from."""
    return run_campaign(
        CompiledBrunel(BrunelNetwork(), RANGES[RANGE]), n, SEED, scratch / "studies.zarr", workers=workers
    )


def pool_of(campaign: Campaign) -> Pool:
    """What the shipped posterior says of each network, at some contact."""
    posterior = load_estimator(SHIPPED / "one-channel" / "npe.safetensors")
    views, rng = contacts(), np.random.default_rng(SEED)
    truth, draws, points, drawn = [], [], [], campaign.theta
    for some in track(np.array_split(campaign.usable, max(1, len(campaign) // AT_ONCE)), "answering", transient=True):
        for row, source in zip(some, campaign.recordings(some), strict=True):
            view = views[rng.integers(len(views))]
            estimate = posterior.estimate(seen(view, source, drawn[row], campaign.parameters.names))
            if estimate.trusted and estimate.samples is not None:
                truth.append(drawn[row])
                draws.append(estimate.samples)
                points.append(estimate.point)
    space = campaign.parameters
    return Pool(*(space.to_unit(np.array(each)) for each in (truth, draws, points)))


def picked(places: np.ndarray, wanted: np.ndarray, taken: set[int]) -> list[int]:
    """Of the pool the nearest to each wanted probit, none of them twice."""
    found = []
    for z in wanted:
        near = np.abs(places - z).argsort()
        k = next(int(k) for k in near if int(k) not in taken)
        taken.add(k)
        found.append(k)
    return found


def studied(pool: Pool, truth: Truth) -> dict[str, Any]:
    """One study: is the true difference in the intervals, and is it said that groups differ?"""
    rng = np.random.default_rng([SEED, truth.seed])
    places = ndtri(pool.truth[:, truth.parameter])
    level, spread = rng.uniform(*LEVELS), rng.uniform(*SPREADS)
    means = level - truth.shift / 2, level + truth.shift / 2
    taken: set[int] = set()
    if truth.paired:
        own, change = level + spread * rng.standard_normal(truth.n), CHANGE * rng.standard_normal(truth.n)
        wanted = [own + sign * (truth.shift + change) / 2 for sign in (-1, 1)]
        spread = float(np.hypot(spread, CHANGE / 2))
    else:
        wanted = [mean + spread * rng.standard_normal(truth.n) for mean in means]
    chosen = [picked(places, z, taken) for z in wanted]
    first, second = ([[pool.draws[k, :, truth.parameter]] for k in some] for some in chosen)
    found = (paired_difference if truth.paired else difference)(first, second, truth.seed)
    points = [pool.points[some, truth.parameter] for some in chosen]
    test = stats.ttest_rel(*points[::-1]) if truth.paired else stats.ttest_ind(*points[::-1], equal_var=False)
    ends = test.confidence_interval(MASS)
    right = float(np.diff(ndtr(np.array(means) / np.sqrt(1 + spread**2)))[0])
    low, high = np.quantile(found.draws, [(1 - MASS) / 2, (1 + MASS) / 2])
    return {
        "n": truth.n, "paired": truth.paired, "same": truth.shift == 0.0, "parameter": truth.parameter,
        "holds": bool(low < right < high), "differs": found.differs, "width": float(high - low),
        "error": float(np.median(found.draws) - right),
        "t_holds": bool(ends.low < right < ends.high), "t_differs": bool(test.pvalue < 0.05),
        "t_error": float(points[1].mean() - points[0].mean() - right),
    }  # fmt: skip


def studies(pool: Pool, each: int, workers: int) -> list[dict[str, Any]]:
    """So many of every size, design and parameter."""
    rng = np.random.default_rng(SEED)
    truths = [
        Truth(n, parameter, paired, 0.0 if k % 2 else float(rng.choice([-1, 1]) * rng.uniform(*SHIFTS)), int(seed))
        for seed, (n, parameter, paired, k) in enumerate(np.ndindex(len(SIZES), pool.truth.shape[1], 2, each))
        for n, paired in [(SIZES[n], bool(paired))]
    ]
    shares = [truths[k::AT_ONCE] for k in range(AT_ONCE)]
    with ProcessPoolExecutor(workers) as processes:
        found = track(processes.map(partial(several, pool), shares), "studies", len(shares), transient=True)
        return [one for share in found for one in share]


def several(pool: Pool, truths: list[Truth]) -> list[dict[str, Any]]:
    return [studied(pool, truth) for truth in truths]


def summarised(results: list[dict[str, Any]], prefix: str) -> dict[str, dict[str, float]]:
    """By group size."""
    out: dict[str, dict[str, float]] = {}
    for n in SIZES:
        some = [r for r in results if r["n"] == n]
        holds = [r[f"{prefix}holds"] for r in some]
        alarms = [r[f"{prefix}differs"] for r in some if r["same"]]
        found = [r[f"{prefix}differs"] for r in some if not r["same"]]
        error = [abs(r[f"{prefix}error"]) for r in some]
        out[str(n)] = {
            "difference_coverage90": round(float(np.mean(holds)), 3),
            "false_alarms_percent": round(100 * float(np.mean(alarms)), 1),
            "found_percent": round(100 * float(np.mean(found)), 1),
            "error_percent": round(100 * float(np.mean(error)), 2),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--parts", default="gain,depth,background,studies")
    parser.add_argument("--sets", type=int, default=10, help="of 20 recordings, at most 20")
    parser.add_argument("--pool", type=int, default=1000, help="networks to draw subjects from")
    parser.add_argument("--each", type=int, default=100, help="studies of every size, design and parameter")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out: dict[str, Any] = {}
    if "gain" in arguments.parts:
        found = of_one_gain(arguments.sets)
        show("one EEG electrode", found)
        out |= {"shared_gain_error_percent": found["posterior, gain shared"]["error_percent"]["g"], "shared": found}
    if "depth" in arguments.parts:
        out["depth"] = of_one_depth(arguments.sets)
        show("three contacts", out["depth"])
    with tempfile.TemporaryDirectory() as folder:
        scratch = arguments.scratch or Path(folder)
        if "background" in arguments.parts:
            out["background"] = of_one_background(arguments.sets, fresh(arguments.pool, scratch, arguments.workers))
            show("one contact", out["background"])
        if "studies" in arguments.parts:
            pool = pool_of(fresh(arguments.pool, scratch, arguments.workers))
            out |= of_groups(pool, arguments.each, arguments.workers)
    print(json.dumps(out))


def show(title: str, found: dict[str, Any]) -> None:
    """A row an answer."""
    table = Table(
        title, *(f"{p}: error, %; in 50, 90 %" for p in next(iter(found.values()))["error_percent"]), "shared"
    )
    for name, one in found.items():
        cells = zip(*(one[k].values() for k in ("error_percent", "coverage50", "coverage90")), strict=True)
        off = [
            f"{k}: off by {v['error_alone']:g} alone, {v['error_shared']:g} ({v['error_sds']:g} sds) shared"
            for k, v in one.items()
            if isinstance(v, dict) and "error_sds" in v
        ]
        table.add_row(name, *(f"{e:.1f}; {a:.2f}, {b:.2f}" for e, a, b in cells), "; ".join(off))
    console.print(table)


def of_groups(pool: Pool, each: int, workers: int) -> dict[str, Any]:
    """Differences of groups, by the hierarchical model and by the t-test."""
    out: dict[str, Any] = {}
    results = studies(pool, each, workers)
    table = Table("", "subjects a group", "in 90 %", "false alarms, %", "found, %", "error, %")
    for name, prefix, some in (
        ("hierarchical", "", results), ("t-test", "t_", results),
        *((f"hierarchical, {kind}", "", [r for r in results if r["paired"] == paired])
          for kind, paired in (("two groups", False), ("pairs", True))),
        *((f"t-test, {kind}", "t_", [r for r in results if r["paired"] == paired])
          for kind, paired in (("two groups", False), ("pairs", True))),
    ):  # fmt: skip
        figures = summarised(some, prefix)
        for n, one in figures.items():
            table.add_row(name, n, *(f"{value:g}" for value in one.values()))
        out[name.replace(", ", "_").replace(" ", "_").replace("-", "_")] = figures
    console.print(table)
    first = out["hierarchical"]
    out["difference_coverage90"] = {n: one["difference_coverage90"] for n, one in first.items()}
    out["false_alarms_percent"] = {n: one["false_alarms_percent"] for n, one in first.items()}
    out["answered"] = len(pool.truth)
    return out


if __name__ == "__main__":
    main()
