"""Estimators of the main job put to the test on simulations that they have not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from inference.estimators.base import BaseEstimator
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
from inference.evaluation.scores import Score, compare
from inference.features.spectra import SpectralFeatures
from inference.workflows.brunel import (
    TEST_SIMULATIONS,
    campaign_network,
    observed,
    reference_campaign,
    shipped_estimators,
    split_rows,
    train_for_probe,
)
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.campaigns.store import Campaign
from simulators.fields.kernels import KernelSignal
from simulators.fields.probes import probe_from_json
from simulators.recording import Recording


@dataclass(frozen=True, eq=False)
class Trial:
    """Estimators of one probe, and simulations that none of them has seen, as that probe sees them."""

    estimators: list[BaseEstimator]
    theta: Float[np.ndarray, "recordings n_parameters"]
    recordings: list[Recording]
    forward_model: KernelSignal
    campaign: Campaign


def trial(name: str, estimators: Sequence[BaseEstimator] | None, campaign: Campaign | None, n: int) -> Trial:
    """Estimators, and the last ``n`` usable simulations of a campaign to try them on.

    By default the shipped estimators of range ``name``, with the nearest simulations as a baseline, and the last
    simulations of the shipped campaign, which nothing was trained on. Raises ValueError for estimators of different
    probes.
    """
    tested = campaign or reference_campaign(name)
    rows = tested.usable[-n:] if campaign else split_rows(tested, TEST_SIMULATIONS)[1][-n:]
    chosen = list(estimators or shipped_estimators(name))
    probes = [e.about.get("probe") for e in chosen]
    if probes[0] is None or any(p != probes[0] for p in probes):
        raise ValueError("the estimators were not all trained for one probe; take those of one 'circuitsbi train'")
    probe = probe_from_json(probes[0])
    if estimators is None:
        known = train_for_probe(reference_campaign(name), probe, chosen[0].features, ["nearest"], progress=False)
        chosen += [e for _, e in known]
    forward_model = KernelSignal(probe, campaign_network(tested), parameters=tested.parameters)
    theta, recordings = observed(tested, forward_model, rows)
    return Trial(chosen, theta, recordings, forward_model, tested)


def compared(tried: Trial) -> tuple[dict[str, Score], Float[np.ndarray, " n_parameters"] | None]:
    """Scores of a trial's estimators by kind, and the limit of their error if there is a gradient fit to compute it."""
    scores = compare({e.kind: e for e in tried.estimators}, tried.theta, tried.recordings)
    fits = [e for e in tried.estimators if isinstance(e, GradientFit)]
    return scores, error_limit(fits[0], tried.theta, tried.recordings[0]) if fits else None


def diagnosed(tried: Trial, checks: int = 1) -> dict[str, list[Finding]]:
    """Findings of all diagnostics for each of a trial's estimators, by kind.

    checks: recordings for the posterior predictive check, which simulates networks (half a minute each); 0 for none.
    """
    found = {}
    strange: dict[SpectralFeatures, Finding] = {}
    for estimator in tried.estimators:
        features = estimator.features
        spectra = np.stack([features(estimator.ready(r)).ravel() for r in tried.recordings])
        estimates = estimated(estimator, tried.recordings)
        found[estimator.kind] = posterior_findings(estimator.parameters, tried.theta, estimates, spectra)
        if features not in strange:
            strange[features] = misspecification_finding(spectra[STRANGE:], spectra[:STRANGE])
        found[estimator.kind].append(strange[features])
        answered = [(e, r) for e, r in zip(estimates, tried.recordings, strict=True) if e is not None][:checks]
        if answered:
            simulator = CompiledBrunel(tried.forward_model.network, tried.campaign.parameters)
            found[estimator.kind].append(predictive_finding(answered, estimator, simulator, tried.forward_model))
    return found
