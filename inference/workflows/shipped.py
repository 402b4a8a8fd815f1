"""What ships with the package: reference campaigns and the estimators trained on them, by the range they cover."""

import json
import warnings
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.reports.verdict import LOOK_AGAIN
from simulators.campaigns.store import Campaign
from simulators.recording import Recording
from surrogates.spectra.emulator import SpectralEmulator

SHIPPED = Path(str(files("inference") / "shipped"))
DEFAULT_RANGE = "asynchronous"
_FORMER_NAMES = {"ai": "asynchronous"}


def shipped_ranges() -> dict[str, dict[str, Any]]:
    """Name of a range -> its campaign, its estimators, and how many of its last simulations are kept for testing."""
    return json.loads((SHIPPED / "index.json").read_text(encoding="utf-8"))


def range_name(name: str) -> str:
    """The name of a range as it is today; warns of a former one. Raises ValueError where there is none."""
    known = shipped_ranges()
    if name in _FORMER_NAMES:
        warnings.warn(f"the range '{name}' is called '{_FORMER_NAMES[name]}' now", FutureWarning, stacklevel=3)
        name = _FORMER_NAMES[name]
    if name not in known:
        raise ValueError(f"there is no range '{name}'; choose one of {', '.join(known)}")
    return name


def reference_campaign(name: str = DEFAULT_RANGE) -> Campaign:
    """The shipped campaign over a range."""
    return Campaign(SHIPPED / shipped_ranges()[range_name(name)]["campaign"])


def reference_tests(name: str = DEFAULT_RANGE) -> int:
    """How many of the last simulations of a shipped campaign nothing was trained on or chosen by."""
    return int(shipped_ranges()[range_name(name)]["test"])


def shipped_sets() -> dict[str, Path]:
    """Folders of estimators that ship beside those over a range, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob("*/npe.safetensors"))}


def shipped_estimators(name: str = DEFAULT_RANGE) -> list[BaseEstimator]:
    """The shipped CNN, neural posterior and gradient fit over a range."""
    return [load_estimator(file) for file in shipped_files(name)]


def shipped_files(name: str = DEFAULT_RANGE) -> list[Path]:
    """The files of ``shipped_estimators``."""
    return [SHIPPED / file for file in shipped_ranges()[range_name(name)]["estimators"]]


def other_ranges(asked: str, noise: bool, recording: Recording) -> str:
    """What the gradient fits of the other shipped ranges make of a recording that those of range ``asked`` refuse.

    noise: whether they fit the channels' noise along.
    """
    others = [name for name in shipped_ranges() if name != range_name(asked)]
    for name in others:
        for fit in shipped_estimators(name):
            if isinstance(fit, GradientFit):
                with suppress(ValueError):
                    if fit.with_nuisances(floor=noise or None).suited(recording).estimate(recording).trusted:
                        return f"Try '--range {name}': the gradient fit over that range explains this recording."
    if not others:
        return ""
    return f"{LOOK_AGAIN} in any shipped range ({', '.join(others)} was tried too): train on another circuit."


def shipped_emulator(campaign: Campaign, test: int, seed: int) -> SpectralEmulator | None:
    """The shipped emulator, if it learned from these rows of this campaign (and more) and all else is as usual."""
    for entry in shipped_ranges().values():
        if seed == 0 and test == entry["test"] and campaign.path == SHIPPED / entry["campaign"]:
            for file in entry["estimators"]:
                if file.endswith("_gradient.safetensors") and (SHIPPED / file).is_file():
                    fit = load_estimator(SHIPPED / file)
                    return fit.model.emulator if isinstance(fit, GradientFit) else None
    return None
