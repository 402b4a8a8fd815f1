"""From a folder of results to groups of its recordings."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.estimate import DOUBTFUL, FAILED, OK, REFUSED, Estimate
from inference.estimators.along import EXPONENT, LOG_GAIN
from inference.groups.compare import Answered, compared
from inference.groups.shared import Shared, share
from inference.recordings.dataset import RESULTS_MARK
from inference.reports.groups import GroupStudy
from inference.reports.predicted import GROUP as PREDICTED
from inference.reports.predicted import Predicted, predicted_of
from simulators.interface import Parameter, ParameterSpace

_NAMES = {"gain": LOG_GAIN, "exponent": EXPONENT}
_ADVICE = {
    "gain": ". Train with --relative and ask again",
    "depth": ". Train with --depth-within and ask again",
    "exponent": ". Ask again with --model one-channel, or the gradient fit with --background",
}
_SAMPLES = "{method}/0/{window}"  # where a file of one recording has them
_POINTS = ("cnn", "stasik-cnn")
_ORDER = (OK, DOUBTFUL, REFUSED, FAILED)

Row = dict[str, str]


@dataclass(frozen=True, eq=False)
class Kept:
    """One method's answer to one recording or window, in a folder of results; estimate None where there is none.

    status: the worst of all methods' that answered; file: of a window, its recording.
    """

    recording: str
    labels: dict[str, str]
    status: str
    reason: str
    estimate: Estimate | None
    predicted: Predicted | None = None
    file: str = ""


def group_study(
    folder: Path,
    between: str,
    method: str | None = None,
    shared: str | None = None,
    paired: bool | None = None,
    within: str | None = None,
) -> GroupStudy:
    """Compare recordings whose answers are in ``folder``, by a label: condition, group, session ...

    method: whose answers, where there are several; shared: of ``gain``, ``depth``, ``exponent`` (of the
    background), other nuisances and parameters those that are the same in all recordings, or in those with one value of
    the label ``within`` (subject, session ...), with commas.
    Raises ValueError for a folder without answers, a method or a label that is not there, and as ``compared``.
    """
    method, answers = kept_answers(folder, method)
    for label in (between, *([within] if within is not None else [])):
        if not any(label in one.labels for one in answers):
            known = sorted({name for one in answers for name in one.labels})
            raise ValueError(f"no recording has a {label}; they have {', '.join(known) or 'no labels at all'}")
    if within is not None and shared is None:
        raise ValueError(f"say what the recordings of one {within} share: --shared gain, depth ...")
    spaces = {one.estimate.parameters: one.recording for one in answers if one.estimate is not None}
    if not spaces:
        raise ValueError(f"{folder} holds no answer with samples by {method}; its table.csv says why")
    if len(spaces) > 1:
        first, second = list(spaces.values())[:2]
        raise ValueError(f"answers to {first} and {second} are of other parameters or ranges; ask all with one --model")
    (space,) = spaces
    common, left_out, names = dict[str, Shared](), list[str](), tuple[str, ...]()
    if shared is not None:
        names = tuple(_NAMES.get(name, name) for part in shared.split(",") if (name := part.strip()))
        if not names:
            raise ValueError("--shared names nothing; say gain, depth, exponent, or parameters")
        common, answers, left_out = _sharing(answers, names, within)
        left = tuple(p for p in space if p.name not in names)
        if not left:
            raise ValueError(f"{shared} is all there is to estimate: no parameter is left to compare")
        space = ParameterSpace(left)
    units = tuple(_in_cube(one, space) for one in answers)
    spectra = {one.recording: one.predicted for one in answers if one.predicted is not None}
    found = compared(space, units, between, paired)
    return GroupStudy(method, found, units, common, tuple(left_out), spectra, names, within or "")


def kept_answers(folder: Path, method: str | None = None) -> tuple[str, list[Kept]]:
    """Whose answers they are, and all of those that the folder's table has, in the order of their recordings.

    Raises ValueError for a folder that holds no results of 'circuitsbi infer', and where it must be said which
    method's are meant.
    """
    named = _in_table(folder)
    records = [_record(path) for path in sorted((folder / "recordings").glob("*.json"))]
    records = [record for record in records if record[1][0]["recording"] in named]
    methods = list(dict.fromkeys(name for _, rows, _ in records for row in rows if (name := row.get("method"))))
    if not methods:
        raise ValueError(f"no recording in {folder} has an answer; its table.csv says why")
    if method is None and len(methods) > 1:
        raise ValueError(f"say whose answers are meant: {' or '.join(f'--method {m}' for m in methods)}")
    chosen = method or methods[0]
    if chosen not in methods:
        raise ValueError(f"there are no answers by '{chosen}' in {folder}; there are those by {', '.join(methods)}")
    if chosen in _POINTS:
        raise ValueError(
            f"'{chosen}' gives a point and its errors, no posterior; groups are compared by npe or gradient"
        )
    found = [one for path, rows, labels in records for one in _answers(path, rows, labels, chosen)]
    return chosen, sorted(found, key=lambda one: one.recording)


def _in_table(folder: Path) -> set[str]:
    """Recordings of the data set as it is today: what was removed or moved since may still have a record."""
    again = "run 'circuitsbi infer DATA_SET' to its end, and name that folder of results"
    try:
        asked = json.loads((folder / RESULTS_MARK).read_text(encoding="utf-8"))["asked"]["command"]
        with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
            named = {row["recording"] for row in csv.DictReader(file)}
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no results; {again}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise ValueError(f"{folder} cannot be read ({type(error).__name__}: {error}); {again}") from None
    if asked != "infer":
        raise ValueError(f"{folder} holds results of 'circuitsbi {asked}'; groups are compared by those of 'infer'")
    return named


def _record(path: Path) -> tuple[Path, list[Row], dict[str, str]]:
    """Rows and labels of one recording. Raises ValueError for a file that is no record."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        rows = [{str(k): str(v) for k, v in row.items()} for row in stored["rows"]]
        labels = {str(k): str(v) for k, v in stored["asked_of"]["labels"].items()}
        rows[0]["recording"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"{path} is no record of an answer ({type(error).__name__}); ask the recording again"
        ) from None
    return path, rows, labels


def _answers(path: Path, rows: Sequence[Row], labels: dict[str, str], method: str) -> Iterator[Kept]:
    """A recording's, or each of its windows'."""
    windows = list(dict.fromkeys(row.get("window", "0") for row in rows))
    for window in windows:
        here = [row for row in rows if row.get("window", "0") == window]
        own = next((row for row in here if row.get("method") == method), here[0])
        # What one method refuses, no other one's numbers are good for.
        status = max((row.get("status", FAILED) for row in here), key=lambda s: _ORDER.index(s) if s in _ORDER else 0)
        status = FAILED if own.get("status") == FAILED else REFUSED if status == FAILED else status
        file = own.get("recording", path.stem)
        name = f"{file}, {own.get('start_s', '0')} s" if len(windows) > 1 else file
        reason = own.get("verdict", "") or own.get("remarks", "")
        estimate, seen = (None, None) if status == FAILED else _stored(path.with_suffix(".nc"), method, window)
        yield Kept(name, labels, status, reason, estimate, seen, file if len(windows) > 1 else "")


def _stored(path: Path, method: str, window: str) -> tuple[Estimate | None, Predicted | None]:
    """Samples and spectra from a file; None for what it has not. Raises ValueError for a file that is damaged."""
    if not path.is_file():
        return None, None
    import xarray

    group, seen = (_SAMPLES.format(method=name, window=window) for name in (method, PREDICTED))
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
            ranges, priors = _before({name: along[name].attrs for name in nuisances})
            found = Estimate(
                space, samples.mean(0), samples, said,
                nuisances=nuisances, nuisance_ranges=ranges, nuisance_priors=priors,
            )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} holds no samples as 'circuitsbi infer' writes them ({error}); ask it again") from None
    return (found if found.has_interval else None), predicted


_Pairs = dict[str, tuple[float, float]]


def _before(attributes: Mapping[str, Mapping[str, Any]]) -> tuple[_Pairs, _Pairs]:
    """Ranges, and normal priors, of nuisances. Raises ValueError for what is neither."""
    ranges, priors = _Pairs(), _Pairs()
    for name, about in attributes.items():
        if "low" in about:
            own = Parameter(name, "1", float(about["low"]), float(about["high"]))
            ranges[name] = own.low, own.high
        if "prior_sd" in about:
            mean, sd = float(about["prior_mean"]), float(about["prior_sd"])
            if not (np.isfinite(mean) and 0 < sd < np.inf):
                raise ValueError(f"the prior of {name} is {mean:g} +- {sd:g}")
            priors[name] = mean, sd
    return ranges, priors


def _parameter(name: str, about: dict[str, Any]) -> Parameter:
    return Parameter(name, str(about["units"]), float(about["low"]), float(about["high"]))


def _sharing(
    answers: Sequence[Kept], names: tuple[str, ...], within: str | None
) -> tuple[dict[str, Shared], list[Kept], list[str]]:
    """Answers in the light of those that share it, and recordings that these contradict.

    What is refused shares nothing. By label, "" where all share; who has no label, or is alone with it, shares with
    none.
    """
    able = [k for k, one in enumerate(answers) if one.estimate is not None and one.status in (OK, DOUBTFUL)]
    for k in able:
        _refuse_without(answers[k], names)
    if len(able) < 2:
        raise ValueError(f"{len(able)} of {len(answers)} recordings has an answer that could share anything")
    together: dict[str, list[int]] = {}
    for k in able:
        label = answers[k].labels.get(within, "") if within is not None else ""
        if label or within is None:
            together.setdefault(label, []).append(k)
    if within is not None and not any(len(places) > 1 for places in together.values()):
        raise ValueError(f"no {within} has two recordings that could share anything")
    found, shared, left_out = list(answers), dict[str, Shared](), list[str]()
    for label, places in together.items():
        if within is not None and len(places) < 2:
            continue
        one = share([e for k in places if (e := answers[k].estimate) is not None], names)
        for k, estimate in zip(places, one.estimates, strict=True):
            found[k] = replace(found[k], estimate=estimate)
        if len(one.draws):
            shared[label] = one
        left_out += [answers[places[k]].recording for k in one.left_out]
    return shared, found, left_out


def _refuse_without(one: Kept, names: tuple[str, ...]) -> None:
    assert one.estimate is not None
    there = {*one.estimate.names, *one.estimate.nuisances}
    missing = [name for name in names if name not in there]
    if missing:
        words = {known: word for word, known in _NAMES.items()}
        asked = words.get(missing[0], missing[0])
        raise ValueError(
            f"the answer to {one.recording} says nothing of {asked}, so that it cannot be shared; it has "
            f"{', '.join(sorted(words.get(name, name) for name in there))}{_ADVICE.get(asked, '')}"
        )


def _in_cube(one: Kept, space: ParameterSpace) -> Answered:
    if one.estimate is None or one.estimate.samples is None:
        return Answered(one.recording, one.labels, one.status, one.reason, None, one.file)
    kept = [one.estimate.names.index(name) for name in space.names]
    draws = np.clip(space.to_unit(one.estimate.samples[:, kept]), 0.0, 1.0)
    return Answered(one.recording, one.labels, one.status, one.reason, draws, one.file)
