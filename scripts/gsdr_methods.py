"""What the delta rule is compared with; all call the same objective."""

import warnings

import numpy as np
import torch

from inference.fitting.gsdr import DeltaRule
from inference.fitting.objective import Evaluation, Objective, Search
from inference.fitting.rounds import Ensemble, descend, different


def random_search(objective: Objective, start: np.ndarray, rng: np.random.Generator) -> None:
    """The start, then uniform draws."""
    objective(start)
    while True:
        objective(rng.random(start.size))


def cma_es(objective: Objective, start: np.ndarray, rng: np.random.Generator) -> None:
    """pycma with its defaults, a quarter of the box as first step, started anew where it ends."""
    import cma

    while True:
        options = {"bounds": [0, 1], "seed": int(rng.integers(1, 2**31)), "verbose": -9}
        search = cma.CMAEvolutionStrategy(np.clip(start, 0.02, 0.98), 0.25, options)
        while not search.stop():
            places = search.ask()
            search.tell(places, [objective(np.asarray(place)).loss for place in places])


def bayesian(objective: Objective, start: np.ndarray, rng: np.random.Generator) -> None:
    """The library bayesian-optimization with its defaults: the start and 2 n draws, then upper confidence bounds."""
    from bayes_opt import BayesianOptimization
    from bayes_opt.acquisition import UpperConfidenceBound

    names = [f"x{k:02d}" for k in range(start.size)]
    seed = int(rng.integers(2**31))
    search = BayesianOptimization(
        None, dict.fromkeys(names, (0.0, 1.0)), acquisition_function=UpperConfidenceBound(random_state=seed),
        random_state=seed, verbose=0, allow_duplicate_points=True,
    )  # fmt: skip
    search.set_gp_params(alpha=1e-2, normalize_y=True)

    def told(place: np.ndarray) -> None:
        found = objective(np.clip(place, 0, 1))
        search.register(dict(zip(names, place.tolist(), strict=True)), -found.loss)

    told(start)
    for place in rng.random((2 * start.size, start.size)):
        told(place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the Gaussian process's bounds
        while True:
            suggested = search.suggest()
            told(np.array([suggested[name] for name in names]))


def adam(objective: Objective, start: np.ndarray, rng: np.random.Generator) -> None:
    """Adam through a differentiable emulator that is learned on the way: no surrogate of these circuits is there.

    The start and 2 n draws; then again and again three networks learn the features of all simulations, and the places
    where descents end, three that lie apart, are simulated.
    """
    found: list[Evaluation] = [objective(u) for u in (start, *rng.random((2 * start.size, start.size)))]
    while True:
        told = [e for e in found if all(np.isfinite(x).all() for x in e.features)]
        if len(told) < 2:
            found.append(objective(rng.random(start.size)))
            continue
        u = np.stack([e.u for e in told])
        features = [np.stack(column) for column in zip(*(e.features for e in told), strict=True)]
        best = u[np.argsort([e.loss for e in told])[:12]]
        with torch.random.fork_rng():
            ends, _ = descend(
                Ensemble(u, features, 3, int(rng.integers(2**20))), objective.targets,
                np.concatenate([best, rng.random((12, start.size))]),
            )  # fmt: skip
        found += [objective(ends[k]) for k in different(ends, 3)]


METHODS: dict[str, Search] = {
    "gsdr": DeltaRule(),
    "gsdr without direction": DeltaRule(directed=0.0),
    "random": random_search,
    "cma": cma_es,
    "bayesian": bayesian,
    "adam": adam,
}
