"""Sliders for a circuit's parameters as a part of a page, and the spectrum they give beside a recording's."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from inference.estimate import Estimate
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.predictive import BAND
from inference.reports.html import rendered
from inference.reports.play_numbers import numbers_of
from inference.reports.play_start import AT_HZ, FoundBackground, start_of
from simulators.interface import Parameter
from simulators.recording import Recording
from surrogates.spectra.likelihood import SpectralModel

_STEPS = 200  # of a slider
_GAIN_DB, _LEVEL_DB, _WHITE_DB = 20.0, (-40.0, 20.0), (-80.0, 0.0)
_USUAL = {"level": -20.0, "exponent": 1.5, "knee": 3.0, "white": -40.0}  # of a background that is switched on
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Slider:
    """One slider: ``low``, ``high`` and ``value`` in ``unit``; left and width: of a posterior's interval, in per cent.

    tens: whether the value is the log10 of a factor, which is said beside it. extra: what it is beyond a connection.
    """

    key: str
    name: str
    meaning: str
    unit: str
    low: float
    high: float
    value: float
    interval: tuple[float, float] | None = None
    tens: bool = False
    extra: str = ""

    @property
    def step(self) -> float:
        """Of a key press, a two-hundredth of the range."""
        return (self.high - self.low) / _STEPS

    @property
    def digits(self) -> int:
        """After the decimal point, with which steps mostly differ."""
        return max(0, round(0.2 - math.log10(self.step)))

    @property
    def place(self) -> tuple[float, float] | None:
        """Where the interval begins and how wide it is, in per cent of the range."""
        if self.interval is None:
            return None
        ends = np.clip((np.array(self.interval) - self.low) / (self.high - self.low), 0, 1) * 100
        return float(ends[0]), float(ends[1] - ends[0])


@dataclass(frozen=True)
class Matrix:
    """Sliders of connections as a table: ``cells[source][target]`` are those of one pair, () where there is none."""

    populations: tuple[str, ...]
    cells: tuple[tuple[tuple[Slider, ...], ...], ...]


@dataclass(frozen=True, eq=False)
class Play:
    """What the template needs. numbers: what the page computes with; trusted: whether the estimate is.

    best: whether the sliders begin at the sample of the posterior that fits best, which fits better than its mean;
    warnings: what to know before believing the estimate.
    """

    sliders: tuple[Slider, ...]
    matrix: Matrix | None
    gain: Slider
    background: tuple[Slider, ...]
    with_background: bool
    channels: tuple[str, ...]
    measured: bool
    estimated: bool
    trusted: bool
    best: bool
    warnings: tuple[str, ...]
    seconds: float
    share: float
    numbers: dict[str, Any]

    @property
    def data(self) -> Markup:
        """The numbers as JSON that cannot end the element it stands in, whatever names it holds."""
        text = json.dumps(self.numbers, allow_nan=False, separators=(",", ":"))
        return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))

    @property
    def script(self) -> Markup:
        """The page's own JavaScript."""
        return script()

    @property
    def policy(self) -> str:
        """The hash that lets this script run, and no other."""
        digest = hashlib.sha256(str(script()).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def script() -> Markup:
    """All JavaScript of the page, as one text."""
    parts = ((_HERE / name).read_text(encoding="utf-8") for name in ("play_model.js", "play_page.js"))
    return Markup('"use strict";\n{\n' + "".join(parts) + "}\n")


def playable(fit: Any) -> bool:
    """Whether an estimator has an emulator to play with, as a gradient fit has."""
    return isinstance(fit, GradientFit)


def play_of(
    fit: GradientFit, recording: Recording | None = None, estimate: Estimate | None = None, seconds: float | None = None
) -> Play:
    """Sliders over the fit's parameters, known ones as well, where ``start_of`` begins.

    recording: as the fit is ``ready`` for it, whose gain and background are found if the fit has them unknown; seconds:
    without a recording, the length of those whose scatter is shown. Raises ValueError as ``numbers_of``.
    """
    model, emulator = fit.model, fit.model.emulator
    seconds = seconds or (emulator.duration_ms - emulator.transient_ms) / 1e3
    start = start_of(fit, recording, estimate, 1e3 * seconds)
    own = start.background
    channels = recording.channels if recording is not None else fit.channels
    numbers = numbers_of(model, recording, 1e3 * seconds) | {
        "reference": start.reference,
        "rhythms": [] if own is None else own.rhythms,
        "gain": start.gain,
        "mean": None if start.mean is None else start.mean.tolist(),
        "units": _units(fit, recording),
    }
    sliders, matrix = laid_out([_slider(k, p, start.theta[k], estimate) for k, p in enumerate(emulator.parameters)])
    return Play(
        sliders=sliders,
        matrix=matrix,
        gain=_gain_slider(model, recording),
        background=_background_sliders(own, start.reference),
        with_background=own is not None,
        channels=channels,
        measured=recording is not None,
        estimated=estimate is not None,
        trusted=estimate is None or estimate.trusted,
        best=start.mean is not None,
        warnings=() if estimate is None else estimate.warnings,
        seconds=recording.duration_ms / 1e3 if recording is not None else seconds,
        share=BAND[1] - BAND[0],
        numbers=numbers,
    )


def write_play(path: str | Path, title: str, play: Play, said: Sequence[str] = ()) -> None:
    """A page with nothing but this, and the warnings of its estimate. said: paragraphs above it."""
    Path(path).write_text(rendered("play_page.html.jinja", title=title, play=play, said=said), encoding="utf-8")


def _slider(k: int, p: Parameter, value: float, estimate: Estimate | None) -> Slider:
    interval = None
    if estimate is not None and estimate.has_interval and estimate.trusted and p.name in estimate.names:
        low, high = estimate.interval(0.95)[estimate.names.index(p.name)]
        interval = float(low), float(high)
    unit = "" if p.unit == "1" else p.unit.replace("um", "µm")
    tens = p.meaning.startswith("log10 gain")
    return Slider(f"theta{k}", p.name, p.meaning, unit, p.low, p.high, float(value), interval, tens)


def laid_out(sliders: Sequence[Slider]) -> tuple[tuple[Slider, ...], Matrix | None]:
    """A matrix of what is named "a_b" or "a_b_receptor" of populations a and b, and the rest.

    Populations are those with a connection to themselves; without two of them there is no matrix.
    """
    split = {s.key: s.name.split("_", 2) for s in sliders}
    populations = tuple(dict.fromkeys(n[0] for n in split.values() if len(n) > 1 and n[0] == n[1]))
    if len(populations) < 2:
        return tuple(sliders), None
    cells: dict[tuple[str, str], list[Slider]] = {}
    rest = []
    for slider in sliders:
        source, target, extra = (*split[slider.key], "", "")[:3]
        if source in populations and target in populations:
            cells.setdefault((source, target), []).append(replace(slider, extra=extra))
        else:
            rest.append(slider)
    rows = tuple(tuple(tuple(cells.get((a, b), ())) for b in populations) for a in populations)
    return tuple(rest), Matrix(populations, rows)


def _gain_slider(model: SpectralModel, recording: Recording | None) -> Slider:
    zero = "as it fits the recording" if model.gain and recording is not None else "as the model has it"
    return Slider("gain", "recording's gain", f"of all channels; 0 dB: {zero}", "dB", -_GAIN_DB, _GAIN_DB, 0.0)


def _background_sliders(found: FoundBackground | None, reference: float) -> tuple[Slider, ...]:
    """Level and white noise in dB of the ``reference``; ranges reach to what the fit found."""
    at = dict(_USUAL)
    if found is not None:
        decibels = {name: 10 * math.log10(getattr(found, name) / reference) for name in ("level", "white")}
        at = {"exponent": found.exponent, "knee": found.knee} | decibels
    kinds = (
        ("level", f"at {AT_HZ:g} Hz, relative to the spectrum there", "dB", *_LEVEL_DB),
        ("exponent", "chi of 1/f^chi", "", 0.0, 4.0),
        ("knee", "flat below", "Hz", 0.0, 50.0),
        ("white", f"white noise, relative to the spectrum at {AT_HZ:g} Hz", "dB", *_WHITE_DB),
    )
    return tuple(
        Slider(name, name, meaning, unit, min(low, math.floor(at[name])), max(high, math.ceil(at[name])), at[name])
        for name, meaning, unit, low, high in kinds
    )


def _units(fit: GradientFit, recording: Recording | None) -> list[str]:
    """Of each channel's power density."""
    units = (fit.unit,) * len(fit.channels) if recording is None else recording.units
    known = [None if unit == "1" or fit.features.scale_free else re.sub(r"^u", "µ", unit) for unit in units]
    return ["power (unknown scale)" if unit is None else f"power ({unit}²/Hz)" for unit in known]
