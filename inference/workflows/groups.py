"""From a folder of results to groups of its recordings."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.estimate import Estimate
from inference.groups.compare import Answered, Compared, compared
from inference.groups.shared import Shared, share
from inference.recordings.dataset import RESULTS_MARK
from inference.reports.predicted import GROUP as PREDICTED
from inference.reports.predicted import Predicted, predicted_of
from inference.reports.verdict import FAILED
from simulators.interface import Parameter, ParameterSpace

if TYPE_CHECKING:
    pass

GAIN = "gain"
_NAMES = {GAIN: "log_gain"}
_SAMPLES = "{method}/0/{window}"  # where a file of one recording has them


@dataclass(frozen=True, eq=False)
class Kept:
    """One method's answer to one recording or window, in a folder of results; estimate None where there is none."""

    recording: str
    labels: dict[str, str]
    status: str
    reason: str
    estimate: Estimate | None
    predicted: Predicted | None = None


@dataclass(frozen=True, eq=False)
class GroupStudy:
    """Groups, the answers they were made of, and what the recordings were taken to share (None for nothing).

    predicted: of recordings whose results hold them, their spectra beside the band of their answer.
    """

    method: str
    found: Compared
    answers: tuple[Answered, ...]
    shared: Shared | None
    predicted: dict[str, Predicted]


def group_study(
    folder: Path, between: str, method: str | None = None, shared: str | None = None, paired: bool | None = None
) -> GroupStudy:
    """Compare recordings whose answers are in ``folder``, by a label: condition, group, session ...

    method: whose answers, where there are several; shared: ``gain``, or a parameter that is the same in all recordings.
    Raises ValueError for a folder without answers, a method or a label that is not there, and as ``compared``.
    """
    kept = kept_answers(folder, method)
    method, answers = kept
    if not any(between in one.labels for one in answers):
        known = sorted({name for one in answers for name in one.labels})
        raise ValueError(f"no recording has a {between}; they have {', '.join(known) or 'no labels at all'}")
    spaces = {one.estimate.parameters for one in answers if one.estimate is not None}
    if not spaces:
        raise ValueError(f"{folder} holds no answer with samples by {method}")
    if len(spaces) > 1:
        raise ValueError(f"the answers in {folder} are of different parameters or ranges")
    (space,) = spaces
    common = None
    if shared is not None:
        common, answers = _sharing(answers, _NAMES.get(shared, shared))
        left = tuple(p for p in space if p.name != shared)
        if not left:
            raise ValueError(f"{shared} is all there is to estimate: no parameter is left to compare")
        space = ParameterSpace(left)
    units = tuple(_in_cube(one, space) for one in answers)
    spectra = {one.recording: one.predicted for one in answers if one.predicted is not None}
    return GroupStudy(method, compared(space, units, between, paired), units, common, spectra)


def kept_answers(folder: Path, method: str | None = None) -> tuple[str, list[Kept]]:
    """Whose answers they are, and all of them, in the order of their recordings.

    Raises ValueError for a folder that holds no results, and where it must be said which method's are meant.
    """
    if not (folder / RESULTS_MARK).is_file():
        raise ValueError(
            f"{folder} holds no results; make them with 'circuitsbi infer DATA_SET', and name that folder of results"
        )
    records = [_record(path) for path in sorted((folder / "recordings").glob("*.json"))]
    rows = [row for _, own, _ in records for row in own]
    methods = list(dict.fromkeys(name for row in rows if (name := row.get("method") or row.get("circuit"))))
    if method is None and len(methods) != 1:
        raise ValueError(f"say whose answers are meant: --method {' or --method '.join(methods) or '(there are none)'}")
    if method is not None and method not in methods:
        raise ValueError(f"there are no answers by '{method}' in {folder}; there are those by {', '.join(methods)}")
    chosen = method or methods[0]
    found = [one for path, rows, labels in records for one in _answers(path, rows, labels, chosen)]
    return chosen, sorted(found, key=lambda one: one.recording)


def _record(path: Path) -> tuple[Path, list[dict[str, str]], dict[str, str]]:
    """Rows and labels of one recording. Raises ValueError for a file that is no record."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        rows = [{str(k): str(v) for k, v in row.items()} for row in stored["rows"]]
        labels = {str(k): str(v) for k, v in stored["asked_of"]["labels"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no record of an answer ({error}); answer the recording again") from None
    return path, rows, labels


def _answers(path: Path, rows: Sequence[dict[str, str]], labels: dict[str, str], method: str) -> Iterator[Kept]:
    own = [row for row in rows if (row.get("method") or row.get("circuit") or method) == method]
    several = len(own) > 1
    for row in own:
        name = row.get("recording", path.stem) + (f", {row.get('start_s', '0')} s" if several else "")
        reason = row.get("verdict", "") or row.get("remarks", "")
        group = _SAMPLES.format(method=method, window=row.get("window", "0") or "0")
        seen = _SAMPLES.format(method=PREDICTED, window=row.get("window", "0") or "0")
        file = path.with_suffix(".nc")
        estimate, predicted = (None, None) if row.get("status") == FAILED else _stored(file, group, seen)
        yield Kept(name, labels, row.get("status", FAILED), reason, estimate, predicted)


def _stored(path: Path, group: str, seen: str) -> tuple[Estimate | None, Predicted | None]:
    """Samples and spectra from a file; None for what it has not. Raises ValueError for a file that is damaged."""
    if not path.is_file():
        return None, None
    import xarray

    try:
        with xarray.open_datatree(path, engine="h5netcdf") as tree:
            there = {node.path for node in tree.subtree}
            predicted = predicted_of(tree[seen].to_dataset().load()) if f"/{seen}" in there else None
            if f"/{group}/posterior" not in there:
                return None, predicted
            posterior = tree[f"{group}/posterior"].to_dataset().load()
            along = tree[f"{group}/nuisances"].to_dataset().load() if f"/{group}/nuisances" in there else {}
            space = ParameterSpace(tuple(_parameter(str(n), v.attrs) for n, v in posterior.data_vars.items()))
            samples = np.stack([posterior[name].values.reshape(-1) for name in space.names], 1).astype(float)
            nuisances = {str(name): along[name].values.reshape(-1).astype(float) for name in along}
            said = str(posterior.attrs.get("method", ""))
            return Estimate(space, samples.mean(0), samples, said, nuisances=nuisances), predicted
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no samples as 'circuitsbi infer' writes them ({error}); answer it again"
        ) from None


def _parameter(name: str, about: dict[str, Any]) -> Parameter:
    return Parameter(name, str(about["units"]), float(about["low"]), float(about["high"]))


def _sharing(answers: Sequence[Kept], name: str) -> tuple[Shared, list[Kept]]:
    """Answers in the light of all others; what is refused or failed shares nothing."""
    able = [k for k, one in enumerate(answers) if one.estimate is not None and one.status in ("ok", "doubtful")]
    shared = share([one for k in able if (one := answers[k].estimate) is not None], name)
    found = list(answers)
    for k, estimate in zip(able, shared.estimates, strict=True):
        found[k] = replace(found[k], estimate=estimate)
    return shared, found


def _in_cube(one: Kept, space: ParameterSpace) -> Answered:
    if one.estimate is None or one.estimate.samples is None:
        return Answered(one.recording, one.labels, one.status, one.reason, None)
    kept = [one.estimate.names.index(name) for name in space.names]
    draws = space.to_unit(one.estimate.samples[:, kept])
    return Answered(one.recording, one.labels, one.status, one.reason, np.clip(draws, 0.0, 1.0))
