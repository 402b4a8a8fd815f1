"""How far to trust an estimator: its posteriors held against the parameters that recordings were simulated at.

Every diagnostic takes truths and samples in physical units, whoever made them, and answers with a Finding. Recordings
whose truth or samples are not finite (failed simulations) are left out and counted. The tests are those of sbi.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier

from simulators.interface import ParameterSpace

_SURE = 3.5  # standard errors: one diagnostic in hundreds exceeds them by chance, over all its parameters
_TARP_SD = (1 / 6 - 0.375**2) ** 0.5  # of the area between a Brownian bridge and zero over the upper half
_SIGNIFICANT = 0.05
_LOCAL_LEVEL = 0.03  # in steps of 0.02, since one trial in a hundred is the least that can be told
_LEAST = 50  # recordings
_SHUFFLES, _MOST = 400, 500  # of simulations for the test of strange recordings; simulations in each

Truths = Float[np.ndarray, "recordings n_parameters"]
Samples = Float[np.ndarray, "recordings draws n_parameters"]


@dataclass(frozen=True)
class Finding:
    """What one diagnostic says: a verdict ("calibrated", "overconfident", "underconfident", "biased", ...), whether
    that is good news, what it means in plain words, and the numbers behind it."""

    diagnostic: str
    verdict: str
    good: bool
    text: str
    values: dict[str, Any] = field(default_factory=dict)


def rank_calibration(space: ParameterSpace, truths: Truths, samples: Samples) -> Finding:
    """Simulation-based calibration (Talts et al. 2018): ranks of the truths among samples are uniform if all is well.

    Ranks too often at the ends: posteriors too narrow; too often in the middle: too wide; on one side: biased.
    """
    truths, samples, left_out = _finite(truths, samples)
    n, draws = samples.shape[:2]
    ranks = _ranks(truths, samples)
    place = (ranks + 0.5) / (draws + 1)
    shift = (place.mean(0) - 0.5) * np.sqrt(12 * n)
    # Of a uniform number, the square of its distance from the middle has mean 1/12 and variance 1/180.
    spread = (((place - 0.5) ** 2).mean(0) - 1 / 12) * np.sqrt(180 * n)
    p_values = stats.kstest(place, "uniform", axis=0).pvalue
    verdict, what = _verdict(shift, spread)
    worst = space.names[int(np.argmax(np.maximum(abs(shift), abs(spread))))]
    text = f"ranks of {n} truths among their posterior samples{left_out}: {what}" + (
        "" if verdict == "calibrated" else f", most of all for {worst}"
    )
    values = {"ranks": ranks, "draws": draws, "shift_z": shift, "spread_z": spread, "ks_p": np.atleast_1d(p_values)}
    return Finding("simulation-based calibration", verdict, verdict == "calibrated", text, values)


def expected_coverage(space: ParameterSpace, truths: Truths, samples: Samples, seed: int = 0) -> Finding:
    """TARP (Lemos et al. 2023): do regions of the joint posterior hold the truth as often as they say?

    Its area to the curve, from sbi, is compared with its scatter for exact posteriors. The values hold the curve, and
    how often each parameter's central 50 % and 90 % intervals hold the truth.
    """
    from sbi.diagnostics.tarp import check_tarp, run_tarp

    truths, samples, left_out = _finite(truths, samples)
    u, draws = space.to_unit(truths), space.to_unit(samples)
    generator = np.random.default_rng(seed)
    curve, levels = run_tarp(
        torch.as_tensor(u),
        torch.zeros(len(u), 1),
        _Drawn(torch.as_tensor(draws.transpose(1, 0, 2))),
        references=torch.as_tensor(generator.random(u.shape)),
        num_posterior_samples=draws.shape[1],
        num_bins=draws.shape[1],
        show_progress_bar=False,
        z_score_theta=False,
    )
    area, _ = check_tarp(curve, levels)
    z = area * np.sqrt(len(u)) / _TARP_SD
    verdict = "calibrated" if abs(z) < _SURE else "underconfident" if z > 0 else "overconfident"
    covered = {}
    for mass in (50, 90):
        low, high = np.quantile(samples, [0.5 - mass / 200, 0.5 + mass / 200], axis=1)
        covered[f"coverage{mass}"] = ((low <= truths) & (truths <= high)).mean(0)
    meaning = {
        "calibrated": "as often as they say",
        "underconfident": "more often than they say: they are too wide",
        "overconfident": "less often than they say: they are too narrow, or beside the truth",
    }[verdict]
    text = f"regions of the joint posterior hold the truth {meaning} ({len(u)} recordings{left_out})"
    values = {"levels": levels.numpy(), "curve": curve.numpy(), "area": area, "z": z, **covered}
    return Finding("expected coverage", verdict, verdict == "calibrated", text, values)


def local_agreement(
    space: ParameterSpace,
    truths: Truths,
    samples: Samples,
    features: Float[np.ndarray, "recordings features"],
    at: Sequence[int],
    trials: int = 100,
    seed: int = 1,
) -> Finding:
    """Local classifier two-sample test (Linhart et al. 2023, by sbi): is the posterior right at single recordings?

    A classifier tells (truth, recording) from (sample, recording); ``at`` are the recordings it is asked about, from
    the others it learns, once in truth and ``trials`` times with labels exchanged. features: few numbers a recording,
    such as principal components of its spectra. Raises ValueError where too few recordings are finite.
    """
    from sbi.diagnostics.lc2st import LC2ST

    keep = np.isfinite(features).all(1) & np.isfinite(truths).all(1) & np.isfinite(samples).all((1, 2))
    asked = np.flatnonzero(np.isin(np.flatnonzero(keep), list(at)))
    learned = np.setdiff1d(np.arange(keep.sum()), asked)
    if len(learned) < _LEAST or not len(asked):
        raise ValueError(f"{len(learned)} recordings to learn from and {len(asked)} to ask about; give {_LEAST} and 1")
    truths, samples, features = truths[keep], samples[keep], features[keep]
    # Relative to each posterior's own mean and width: a change of variables, in which the classifier's task is easiest.
    centre, width = samples.mean(1, keepdims=True), samples.std(1, keepdims=True)
    relative = (truths - centre[:, 0]) / width[:, 0], (samples - centre) / width, features
    u, draws, x = (torch.as_tensor(a).float() for a in relative)
    x = (x - x[learned].mean(0)) / x[learned].std(0).clamp(min=1e-6)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # of the exchanged labels
        test = LC2ST(u[learned], x[learned], draws[learned, 0], seed=seed, z_score=True, num_trials_null=trials)
        test.clf_class = QuickClassifier
        test.train_on_observed_data(seed=seed, verbosity=0).train_under_null_hypothesis(verbosity=0)
    p = np.array([float(test.p_value(theta_o=draws[i], x_o=x[i])) for i in asked])
    # The answers hang together, since one classifier gave them all: twice their median holds whatever ties them.
    together = min(1.0, 2 * float(np.median(p)))
    good = together > _LOCAL_LEVEL
    text = (
        f"a classifier {'cannot tell' if good else 'tells'} samples from truths at {len(p)} recordings "
        f"(p = {together:.2g}; alone at {np.mean(p < _SIGNIFICANT):.0%} of them)"
    )
    return Finding("local agreement", "agrees" if good else "wrong in places", good, text, {"p": p})


class QuickClassifier(MLPClassifier):
    """scikit-learn's network for two classes 0 and 1, trained to the same weights in a third of the time.

    What it checks after every epoch of its early stopping, its own arrays, is known to be right here.
    """

    def _score(self, X: np.ndarray, y: np.ndarray, sample_weight: None = None) -> float:
        return float(np.mean((self._forward_pass_fast(X, check_input=False).ravel() > 0.5) == y))


def recovery(space: ParameterSpace, truths: Truths, points: Truths, parts: int = 3) -> Finding:
    """Estimates against the truth, and their bias where each parameter is estimated as low, middle or high.

    The parts hold equally many estimates; they are not parts of the truths: where an exact posterior's mean is among
    the lowest third it is right on average, whereas the means for the lowest third of the truths lie above them, the
    more the less a recording tells (shrinkage towards the middle of the prior). A bias counts where it is sure and
    larger than half the errors' standard deviation there.

    points: posterior means. ``values["bias"]``: by parameter, part and parameter that is biased.
    """
    keep = np.isfinite(truths).all(1) & np.isfinite(points).all(1)
    estimated = space.to_unit(points[keep])
    error = estimated - space.to_unit(truths[keep])
    edges = np.quantile(estimated, np.linspace(0, 1, parts + 1), axis=0)
    place = (estimated[:, :, None] > edges[1:-1].T).sum(2)
    bias = np.full((len(space), parts, len(space)), np.nan)
    found = []
    for k, by in enumerate(space):
        for part in range(parts):
            here = error[place[:, k] == part]
            if len(here) < 5:
                continue
            bias[k, part] = here.mean(0)
            sd = here.std(0, ddof=1)
            for j, of in enumerate(space):
                if abs(bias[k, part, j]) > max(0.5 * sd[j], _SURE * sd[j] / np.sqrt(len(here))):
                    low, high = by.low + edges[part : part + 2, k] * (by.high - by.low)
                    found.append(
                        f"{of.name} by {bias[k, part, j]:+.1%} of its range where {by.name} is estimated as "
                        f"{low:.3g} ... {high:.3g}"
                    )
    text = "no part of the range is biased" if not found else "biased: " + "; ".join(found[:3])
    values = {"truths": truths[keep], "points": points[keep], "bias": bias}
    return Finding("recovery", "biased" if found else "unbiased", not found, text, values)


class Misspecification:
    """Is a recording one that the simulator could have made? Maximum mean discrepancy by sbi, in few components.

    simulated: features of simulations, (simulations, features). Half of them give the components; the others, which
    these have not seen, give the null distribution.
    """

    def __init__(self, simulated: Float[np.ndarray, "simulations features"], components: int = 16, seed: int = 0):
        from sbi.diagnostics.misspecification import calculate_baseline_mmd

        first, second = simulated[::2], simulated[1::2]
        self._scale = first.mean(0), np.maximum(first.std(0), 1e-6)
        standard = (first - self._scale[0]) / self._scale[1]
        self._pca = PCA(min(components, *standard.shape), whiten=True, random_state=seed).fit(standard)
        self._z = torch.as_tensor(self._components(second)).float()
        # What the components leave over is where a recording of another kind shows.
        self._left = self._left_over(second)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            # Of single simulations among all the others: the same for every recording that is asked about.
            self._by_chance = calculate_baseline_mmd(1, self._z, n_shuffle=_SHUFFLES, max_samples=_MOST)

    def _components(self, x: np.ndarray) -> np.ndarray:
        return self._pca.transform((x - self._scale[0]) / self._scale[1])

    def _left_over(self, x: np.ndarray) -> np.ndarray:
        standard = (x - self._scale[0]) / self._scale[1]
        rest = standard - self._pca.inverse_transform(self._pca.transform(standard))
        return np.log(np.maximum((rest**2).sum(1), 1e-300))

    def p_value(self, x: Float[np.ndarray, " features"]) -> float:
        """Share of simulations at least as strange: the smaller of two tests' p-values, times two."""
        from sbi.diagnostics.misspecification import compute_rbf_mmd_median_heuristic

        z = torch.as_tensor(self._components(x[None])).float()
        distance = compute_rbf_mmd_median_heuristic(z, self._z[:_MOST])
        among = 1 - int((self._by_chance < distance).sum()) / _SHUFFLES
        beyond = float((np.sum(self._left >= self._left_over(x[None])[0]) + 1) / (len(self._left) + 1))
        return min(1.0, 2 * min(among, beyond))


def _ranks(truths: Truths, samples: Samples) -> np.ndarray:
    """Number of samples below each truth, from sbi's own counting."""
    from sbi.diagnostics.sbc import run_sbc

    ranks, _ = run_sbc(
        torch.as_tensor(truths),
        torch.zeros(len(truths), 1),
        _Drawn(torch.as_tensor(samples.transpose(1, 0, 2))),
        num_posterior_samples=samples.shape[1],
        show_progress_bar=False,
    )
    return ranks.numpy().astype(int)


class _Drawn:
    """Samples that were drawn before, in the form in which sbi asks a posterior for them: (draws, recordings, p)."""

    def __init__(self, samples: torch.Tensor):
        self._samples = samples

    def sample_batched(self, *_: Any, **__: Any) -> torch.Tensor:
        return self._samples


def _verdict(shift: np.ndarray, spread: np.ndarray) -> tuple[str, str]:
    sizes = abs(shift).max(), abs(spread).max()
    if max(sizes) < _SURE:
        return "calibrated", "uniform, as they should be"
    if sizes[0] > sizes[1]:
        return "biased", "more on one side: posteriors lie beside the truth"
    if spread[np.argmax(abs(spread))] > 0:
        return "overconfident", "too often at the ends: posteriors are too narrow"
    return "underconfident", "too often in the middle: posteriors are too wide"


def _finite(truths: Truths, samples: Samples) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows without a value that is not finite, and what to say of the others. Raises ValueError where few are left."""
    keep = np.isfinite(truths).all(1) & np.isfinite(samples).all((1, 2))
    if keep.sum() < _LEAST:
        raise ValueError(f"{keep.sum()} of {len(keep)} recordings have finite truths and samples; {_LEAST} are needed")
    left_out = "" if keep.all() else f", {np.sum(~keep)} left out as failed"
    return truths[keep], samples[keep], left_out
