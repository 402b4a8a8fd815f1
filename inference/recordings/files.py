"""Files -> Recording.

Whatever a file holds, reading it gives a Recording or a ValueError that names the file, the problem and what to do.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from inference.recordings.conform import check_rate, transposed
from inference.recordings.contents import Contents, number, numbers
from inference.recordings.formats import MNE_SUFFIXES, NEO_SUFFIXES, read_matlab, read_mne, read_neo, read_nwb
from inference.recordings.plain_files import npz_arrays, read_csv, read_npy, read_npz, transient
from inference.recordings.sidecars import Sidecar, joined
from simulators.recording import SAME_RATE, Recording
from simulators.text import printable
from simulators.units import factor

FOLDERS = (".mff",)
"""Endings of recordings that are folders."""

UNREAD_FOLDERS = (".ds", ".mefd")
"""Endings of folders that are recordings too, of formats that are not read (CTF, MEF3)."""


def read_recording(
    path: str | Path,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    channels: Sequence[str] | None = None,
    pick: Sequence[str] | None = None,
    variable: str | None = None,
) -> Recording:
    """A recording from a file; what the file does not say has to be given.

    .npz: array ``values`` (channels, samples), or the only one but for its companions: ``sampling_rate`` or ``fs``
    (Hz), times ``t`` or ``time`` (s), ``unit``, ``channels`` (names), ``transient`` (samples). .mat: the same, but for
    names. .npy: (channels, samples), or (samples,) for one channel. .csv: a row a sample, a column a channel; an
    optional header names them; a column ``time_ms``, ``time_s``, ``time`` or ``t`` (in s) gives the sampling rate; an
    empty cell is a gap (NaN). .nwb, and what MNE (FIF, EDF, BrainVision, ...) and Neo (Plexon, Spike2, ...) read,
    where these libraries are installed: voltages in V.

    sampling_rate in Hz. unit has no default: a voltage off by 1,000 would go unnoticed. channels replace the file's
    names; pick: those to take, in this order, None for all. variable: which of several in an .npz, .mat or .nwb file.
    Control characters in names are written as \\x1b.

    Raises ValueError naming the file for one that cannot be read, holds several trials, lacks a sampling rate or a
    unit, or says another one; ImportError where the library is missing that reads it.
    """
    trials = read_trials(
        path, sampling_rate=sampling_rate, unit=unit, channels=channels, pick=pick, variable=variable
    )  # fmt: skip
    if len(trials) > 1:
        raise ValueError(
            f"cannot read {path}: it holds {len(trials)} trials (trials x channels x samples) and one recording is "
            f"asked for; give one of them alone, or take read_trials in Python"
        )
    return trials[0]


def read_trials(
    path: str | Path,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    channels: Sequence[str] | None = None,
    pick: Sequence[str] | None = None,
    variable: str | None = None,
    any_unit: bool = False,
) -> list[Recording]:
    """As ``read_recording``, of an .npz, .npy or .mat file of trials x channels x samples as well: a recording a trial.

    any_unit: of an unknown gain; the unit is "1" where neither the file nor ``unit`` says one.
    """
    return read_beside(path, Sidecar(), sampling_rate, unit, channels, pick, variable, any_unit)[0]


def read_beside(
    path: str | Path,
    sidecar: Sidecar,
    sampling_rate: float | None = None,
    unit: str | None = None,
    channels: Sequence[str] | None = None,
    pick: Sequence[str] | None = None,
    variable: str | None = None,
    any_unit: bool = False,
) -> tuple[list[Recording], tuple[str, ...]]:
    """As ``read_trials``, with what a sidecar says of the file; and notes on what was left out for it.

    Raises ValueError naming the file also where the sidecar does not fit to it.
    """
    path = Path(path)
    with _reading(path):
        found, notes = joined(_contents(path, variable), sidecar, unit, pick, path.suffix.lower() in _PLAIN, any_unit)
        rows, columns = found.values.shape[-2:]
        names = tuple(channels) if channels is not None else found.channels or _numbered(rows)
        if len(names) != rows and len(names) == columns:
            raise ValueError(f"{transposed(found.values)}, as its {len(names)} channel names show")
        rate = _agreed_rate(found, sampling_rate)
        agreed = printable(_agreed_unit(found.unit, unit, any_unit))
        names = tuple(map(printable, names))
        trials = [Recording(values, rate, agreed, names, found.transient) for values in found.trials]
        return (trials if pick is None else [picked(trial, pick) for trial in trials]), notes


def trial_count(path: str | Path, variable: str | None = None) -> int:
    """How many trials a file holds; 1 for one that cannot be read, which whoever reads it will say."""
    try:
        return len(_contents(Path(path), variable).trials) if Path(path).suffix.lower() in _WITH_TRIALS else 1
    except Exception:  # as many kinds as a stranger's bytes can set off
        return 1


def _contents(path: Path, variable: str | None) -> Contents:
    suffix = path.suffix.lower()
    if path.is_dir() and suffix in UNREAD_FOLDERS:
        raise ValueError(f"no reader for '{suffix}' recordings; save it with MNE as .fif, or as .npz")
    if path.is_dir() and suffix not in FOLDERS:
        raise ValueError(f"it is a folder; name the files in it, such as {path / '*.npz'}")
    if suffix not in READERS:
        kind = f"'{suffix}' files" if suffix else "files without an ending"
        raise ValueError(
            f"no reader for {kind}, only for {', '.join(READERS)}; "
            f"save it with np.savez('recording.npz', values=..., sampling_rate=..., unit=...)"
        )
    if variable is None:
        return READERS[suffix](path)
    if suffix not in _WITH_VARIABLES:
        raise ValueError(f"a {suffix} file has no variables to choose from; leave variable='{variable}' out")
    return _WITH_VARIABLES[suffix](path, variable)


def picked(recording: Recording, names: Sequence[str]) -> Recording:
    """Some channels of a recording, in the order of ``names``. Raises ValueError for one that it has not, or twice."""
    missing = [name for name in names if recording.channels.count(name) != 1]
    if missing or not names or len(set(names)) != len(names):
        there = ", ".join(recording.channels[:12]) + (" ..." if len(recording.channels) > 12 else "")
        asked = missing[0] if missing else ",".join(names)
        raise ValueError(f"cannot pick channel '{asked}'; name each once, of: {there}")
    rows = [recording.channels.index(name) for name in names]
    return replace(recording, values=recording.values[rows], channels=tuple(names))


def write_recording(recording: Recording, path: str | Path) -> None:
    """To an .npz file from which ``read_recording`` gives the same recording. Raises ValueError for another suffix."""
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"recordings are written as .npz; got {path}")
    np.savez_compressed(
        path,
        values=recording.values,
        sampling_rate=recording.sampling_rate,
        unit=recording.unit,
        channels=np.array(recording.channels),
        transient=recording.transient,
    )


def read_counts(path: str | Path, populations: Sequence[str]) -> Recording:
    """Spike counts of a network's populations, in this order, from an .npz file.

    The file holds ``counts`` (populations, bins), spikes per bin, and optionally ``bin_ms`` (1) and ``transient``
    (0 bins). Raises ValueError naming the file for anything else.
    """
    path, n = Path(path), len(populations)
    with _reading(path):
        arrays = npz_arrays(path, {"counts", "bin_ms", "transient"})
        if "counts" not in arrays:
            raise ValueError(f"it holds no array 'counts' ({n} populations x bins)")
        counts = numbers(arrays["counts"], "counts")
        if counts.shape[0] != n:
            hint = f"; {transposed(counts)}" if counts.shape[1] == n else ""
            raise ValueError(f"counts has shape {counts.shape}; expected ({n}, bins): {', '.join(populations)}{hint}")
        if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.rint(counts)).all()):
            raise ValueError("counts are numbers of spikes per bin, but some are negative, fractional or not finite")
        bin_ms = number(arrays, "bin_ms")
        bin_ms = 1.0 if bin_ms is None else bin_ms
        if not bin_ms > 0:
            raise ValueError(f"bin_ms is {bin_ms:g}; it must be positive")
        rate = 1e3 / bin_ms
        check_rate(rate)
        return Recording(counts.astype(np.int64), rate, "1", tuple(populations), transient(arrays))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Every failure becomes a ValueError that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {path}: it is no text; save it as UTF-8, or name it as what it is") from error
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    except ImportError:
        raise
    # A stranger's bytes can set off a dozen kinds of errors in zipfile, zlib, csv and numpy's header parser.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"cannot read {path}: {reason} (truncated, or not what its suffix says?)") from error


def _agreed_rate(contents: Contents, given: float | None) -> float:
    found = contents.sampling_rate
    if found is not None and given is not None and not abs(given - found) <= SAME_RATE * abs(found):
        raise ValueError(f"it says {found:g} Hz, you say {given:g} Hz; correct one of them")
    rate = given if found is None else found
    if rate is None:
        raise ValueError(
            contents.doubt or "it does not say its sampling rate; give sampling_rate in Hz (--sampling-rate)"
        )
    check_rate(rate)
    return float(rate)


def _agreed_unit(found: str | None, given: str | None, any_unit: bool) -> str:
    if found and given and not _same_unit(found, given):
        raise ValueError(f"it says its unit is '{found}', you say '{given}'; correct one of them")
    if unit := found or given or ("1" if any_unit else None):
        return unit
    raise ValueError("it does not say its unit; give unit='mV', 'uV', 'V' or 'nAm' (--unit)")


def _same_unit(a: str, b: str) -> bool:
    """Also where one writes micro as µ and the other as u."""
    try:
        return factor(a, b) == 1
    except ValueError:
        return False


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"channel {i + 1}" for i in range(n))


_PLAIN = (".npz", ".npy", ".csv", ".mat")  # whose numbers are as they are in the file
_WITH_TRIALS = (".npz", ".npy", ".mat")
_WITH_VARIABLES = {".npz": read_npz, ".mat": read_matlab, ".nwb": read_nwb}

READERS: dict[str, Callable[[Path], Contents]] = {
    ".npy": read_npy,
    ".csv": read_csv,
    **_WITH_VARIABLES,
    **dict.fromkeys(MNE_SUFFIXES, read_mne),
    **dict.fromkeys(NEO_SUFFIXES, read_neo),
}
"""File suffix -> what reads it. A reader may raise what it likes: ``read_recording`` adds the name of the file."""
