"""Estimators put to the test on simulations that they have not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from inference.estimators.base import BaseEstimator
from inference.estimators.delta_rule import DeltaRuleFit
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.calibration import Finding
from inference.evaluation.diagnose import (
    STRANGE,
    estimated,
    misspecification_finding,
    posterior_findings,
    predictive_finding,
)
from inference.evaluation.limit import error_limit
from inference.evaluation.scores import Score, score_all
from inference.workflows.shipped import DEFAULT_RANGE, reference_campaign, reference_tests, shipped_estimators
from inference.workflows.study import NotAtHand, Study, study_of
from inference.workflows.train import train
from simulators.campaigns.store import Campaign
from simulators.fields.probes import probe_from_json
from simulators.interface import Simulator
from simulators.recording import Recording


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Estimators of one study, and simulations that none of them has seen, as the study's instrument sees them.

    cautions: why they are not that after all.
    """

    estimators: list[BaseEstimator]
    theta: Float[np.ndarray, "recordings n_parameters"]
    recordings: list[Recording]
    study: Study
    cautions: tuple[str, ...] = ()


def held_out(
    estimators: Sequence[BaseEstimator] | None = None,
    campaign: Campaign | None = None,
    n: int | None = None,
    name: str = DEFAULT_RANGE,
    simulator: Simulator | None = None,
    most: int = 300,
    include: Sequence[str] = (),
) -> HeldOut:
    """Estimators, and the last ``n`` usable simulations of a campaign to try them on.

    Without ``n`` they are those that training kept for testing, of a campaign that the estimators did not learn from
    all, but never more than ``most``.

    By default the shipped estimators of range ``name``, with the nearest simulations as a baseline, and the last
    simulations of the shipped campaign, which nothing was trained on. simulator: what made the campaign, where no
    installed package announces that. include: also "gsdr", which searches by simulation for every recording.

    Raises ValueError for estimators of different parameters or probes, a campaign of other parameters, and something
    else to include.
    """
    tested = reference_campaign(name) if campaign is None else campaign
    chosen = list(estimators or shipped_estimators(name))
    _refuse_others(chosen, tested)
    learned = np.any([_learned_from(e, tested) for e in chosen], axis=0)
    if campaign is None:
        learned[: len(tested) - reference_tests(name)] = True
    rows, cautions = _rows_to_test(tested, learned, n, most)
    cautions += [c for c in [_of_another_circuit(chosen[0], tested)] if c]
    probe = chosen[0].about.get("probe")
    study = study_of(tested, simulator, None if probe is None else probe_from_json(probe), chosen[0].features)
    if estimators is None:
        baseline = train(study, reference_campaign(name), ["nearest"], test=reference_tests(name), progress=False)
        chosen += [e for _, e in baseline]
    for kind in include:
        chosen.append(_searching(kind, study, probe))
    theta, recordings = study.recordings(tested, rows)
    return HeldOut(chosen, theta, recordings, study, tuple(cautions))


def _searching(kind: str, study: Study, probe: Any) -> DeltaRuleFit:
    if kind != DeltaRuleFit.kind:
        raise ValueError(f"there is no '{kind}' to include; there is {DeltaRuleFit.kind}")
    if isinstance(study.simulator, NotAtHand):
        raise ValueError(f"{kind} simulates: it needs the code of {study.simulator.name}; give --simulator")
    made = DeltaRuleFit(study.observed, study.features)
    made.about["probe"] = probe
    return made


def _learned_from(estimator: BaseEstimator, campaign: Campaign) -> Bool[np.ndarray, " rows"]:
    """Which rows of a campaign an estimator learned from."""
    rows = np.zeros(len(campaign), dtype=bool)
    known = estimator.about.get("campaign") or {}
    if all(known.get(key) == campaign.configuration.get(key) for key in ("simulator", "parameters", "seed")):
        for first, end in estimator.about.get("trained_rows", []):
            rows[first:end] = True
    return rows


def _rows_to_test(
    campaign: Campaign, learned: Bool[np.ndarray, " rows"], n: int | None, most: int
) -> tuple[Integer[np.ndarray, " tested"], list[str]]:
    """The last usable rows that were not learned from; where there are too few, others, with a caution."""
    usable = campaign.usable
    kept = usable[~learned[usable]]
    asked = n or min(len(kept), most) or most
    rows = (kept if asked <= len(kept) else usable)[-asked:]
    seen = int(np.sum(learned[rows]))
    if not seen:
        return rows, []
    return rows, [
        f"{seen} of the {len(rows)} simulations tested are among those that the estimators learned from "
        f"({len(kept)} were kept for testing): errors look smaller than they are; train with --test, or test on "
        f"another campaign"
    ]


def _of_another_circuit(estimator: BaseEstimator, campaign: Campaign) -> str | None:
    """What to say where the campaign is of another circuit than the estimator learned, with parameters of one name."""
    learned, tested = (
        c.get("simulator") or {} for c in (estimator.about.get("campaign") or {}, campaign.configuration)
    )
    if not learned or all(learned.get(key) == tested.get(key) for key in ("class", "code")):
        return None
    return (
        f"the estimators learned from simulations of {learned.get('class')}, the campaign is of "
        f"{'other code of that name' if learned.get('class') == tested.get('class') else tested.get('class')}"
    )


def _refuse_others(estimators: Sequence[BaseEstimator], campaign: Campaign) -> None:
    """Raises ValueError unless all estimators are of the campaign's parameters and of one probe."""
    for estimator in estimators:
        if estimator.parameters.names != campaign.parameters.names:
            raise ValueError(
                f"the {estimator.kind} estimator is of {', '.join(estimator.parameters.names)}, {campaign.path} of "
                f"{', '.join(campaign.parameters.names)}; take estimators trained on simulations of the same circuit"
            )
    if any(e.about.get("probe") != estimators[0].about.get("probe") for e in estimators):
        raise ValueError("the estimators were not all trained for one probe; take those of one 'circuitsbi train'")


def compare(tested: HeldOut) -> tuple[dict[str, Score], Float[np.ndarray, " n_parameters"] | None]:
    """Scores of estimators by kind, and the limit of their error if there is a gradient fit to compute it."""
    scores = score_all({e.kind: e for e in tested.estimators}, tested.theta, tested.recordings)
    fits = [e for e in tested.estimators if isinstance(e, GradientFit)]
    return scores, error_limit(fits[0], tested.theta, tested.recordings[0]) if fits else None


def diagnose(tested: HeldOut, checks: int = 1) -> dict[str, list[Finding]]:
    """Findings of all diagnostics for each estimator, by kind.

    checks: recordings for the posterior predictive check, which simulates anew; 0 for none. Without the simulator's
    code there is no such check.
    """
    found = {}
    strange: dict[str, Finding] = {}
    for estimator in tested.estimators:
        features = estimator.features
        seen = np.stack([features(estimator.ready(r)).ravel() for r in tested.recordings])
        estimates = estimated(estimator, tested.recordings)
        found[estimator.kind] = posterior_findings(estimator.parameters, tested.theta, estimates, seen)
        asked = str(features.to_json())
        if asked not in strange:
            strange[asked] = misspecification_finding(seen[STRANGE:], seen[:STRANGE])
        found[estimator.kind].append(strange[asked])
        answered = [(e, r) for e, r in zip(estimates, tested.recordings, strict=True) if e is not None][:checks]
        if answered and not isinstance(tested.study.simulator, NotAtHand):
            found[estimator.kind].append(predictive_finding(answered, estimator, tested.study.observed))
    return found
