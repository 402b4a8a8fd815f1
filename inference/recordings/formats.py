"""Recordings in the files of other programs, read by the libraries that know them: MNE, Neo, PyNWB, SciPy."""

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from inference.recordings.contents import Contents, check_size, chosen, rate_beside, recorded

MNE_SUFFIXES = (".fif", ".edf", ".bdf", ".gdf", ".vhdr", ".set", ".cnt", ".mff")
NEO_SUFFIXES = (".abf", ".axgd", ".axgx", ".ncs", ".nex", ".plx", ".pl2", ".rhd", ".rhs", ".smr", ".smrx")
"""Neo's formats for electrophysiological recordings in one file, but for the one that is a pickle."""

NEURAL = ("eeg", "seeg", "ecog", "dbs")
"""Kinds of channels that are recordings of the brain, as MNE and BIDS call them."""

_CONVERTED = ("V", "mV", "uV", "µV")  # units that MNE converts from; numbers in others it takes as they are
_FLOAT_BYTES = 8
_EVEN = 0.01  # time stamps may differ by this part of a step from even ones


def read_mne(path: Path) -> Contents:
    """EEG, sEEG, ECoG and DBS channels of a raw recording in V; those marked as bad are left out.

    Without a unit where the file could state one of each channel and states none.
    """
    mne = library("mne", "MNE")
    raw = mne.io.read_raw(path, preload=False, verbose="error")
    kinds = raw.get_channel_types()
    picks = [
        i
        for i, (name, kind) in enumerate(zip(raw.ch_names, kinds, strict=True))
        if kind in NEURAL and name not in raw.info["bads"]
    ]
    if not picks:
        raise ValueError(
            f"none of its {len(kinds)} channels is a good one of kind {', '.join(NEURAL)}; it has "
            f"{', '.join(sorted(set(kinds)))}: set channel types with MNE and save it again"
        )
    check_size(_FLOAT_BYTES * len(picks) * len(raw.times))
    names = tuple(raw.ch_names[i] for i in picks)
    units = getattr(raw, "_orig_units", None)  # of formats with a unit for each channel; MNE has no other way to it
    stated = tuple(u if (u := units.get(name, "")) in _CONVERTED else "" for name in names) if units else None
    return Contents(
        values=raw.get_data(picks),
        sampling_rate=float(raw.info["sfreq"]),
        unit="V" if stated is None or any(stated) else None,
        channels=names,
        stated=stated,
    )


def read_neo(path: Path) -> Contents:
    """The analogue voltages of the first segment, all of one sampling rate."""
    neo = library("neo", "Neo")
    check_size(path.stat().st_size)  # none of these formats compresses
    block = neo.io.get_io(str(path)).read_block()
    found = [s for segment in block.segments[:1] for s in segment.analogsignals if _is_voltage(s)]
    if not found:
        raise ValueError("its first segment holds no analogue signal in volts")
    rates = sorted({round(float(s.sampling_rate.rescale("Hz")), 3) for s in found})
    if len(rates) > 1 or len({len(s) for s in found}) > 1:
        raise ValueError(
            f"its signals have several sampling rates or lengths ({', '.join(f'{r:g} Hz' for r in rates)}); "
            f"save those of one kind alone, as .npz"
        )
    names = [str(n) for s in found for n in _names(s)]
    return Contents(
        values=np.concatenate([np.asarray(s.rescale("V").magnitude, float) for s in found], axis=1).T,
        sampling_rate=rates[0],
        unit="V",
        channels=tuple(names) if len(set(names)) == len(names) else None,
    )


def read_nwb(path: Path, variable: str | None = None) -> Contents:
    """The ElectricalSeries of an NWB file, in V: the one called ``variable``, or the only one, or the only LFP."""
    pynwb = library("pynwb", "PyNWB")
    with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=False) as file:
        every = [o for o in file.read().objects.values() if isinstance(o, pynwb.ecephys.ElectricalSeries)]
        lfp = [s for s in every if isinstance(s.parent, pynwb.ecephys.LFP)] or every
        if variable is not None:
            lfp = [s for s in every if s.name == variable]
        if len(lfp) != 1:
            listed = ", ".join(f"{s.name} ({' x '.join(map(str, s.data.shape))})" for s in every) or "none"
            asked = "" if variable is None else f" called '{variable}'"
            raise ValueError(
                f"it holds {len(lfp)} electrical series{asked}; name one with variable= (--variable), of: {listed}"
            )
        series = lfp[0]
        check_size(_FLOAT_BYTES * int(np.prod(series.data.shape)))
        data = np.asarray(series.data, float)
        scale = np.asarray(1.0 if series.channel_conversion is None else series.channel_conversion, float)
        values = data.reshape(len(data), -1) * series.conversion * scale + series.offset
        names = [str(i) for i in series.electrodes.table.id[:][series.electrodes.data[:]]]
        rate = float(series.rate) if series.rate else _even_rate(np.asarray(series.timestamps))
    channels = tuple(f"electrode {n}" for n in names)
    return Contents(values.T, rate, "V", channels)


def read_matlab(path: Path, variable: str | None = None) -> Contents:
    """The variable of a .mat file that ``contents.chosen`` takes, channels x samples or trials x channels x samples.

    sampling rate: a number such as fs or srate (Hz), or times such as t (s); unit: a text named unit. A column is one
    channel: MATLAB has no vectors.
    """
    arrays = _matlab_arrays(path)
    name = chosen({k: v.shape for k, v in arrays.items() if v.dtype.kind in "iuf"}, variable)
    values = recorded(arrays[name], name)
    values = values.T if values.ndim == 2 and values.shape[1] == 1 else values
    unit = arrays.get("unit")
    rate, doubt = rate_beside({k: v for k, v in arrays.items() if k != name}, values)
    return Contents(
        values=np.asarray(values, float),
        sampling_rate=rate,
        doubt=doubt,
        unit=str(unit.item()) if unit is not None and unit.size == 1 and unit.dtype.kind == "U" else None,
    )


def _matlab_arrays(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Variables of a file of MATLAB 5 to 7.2, or of 7.3, which is HDF5 with axes in reverse."""
    from scipy.io import loadmat, whosmat

    with path.open("rb") as file:
        hdf5 = b"MATLAB 7.3" in file.read(128)
    if not hdf5:
        check_size(_FLOAT_BYTES * sum(math.prod(shape) for _, shape, _ in whosmat(path)))
        return {k: v for k, v in loadmat(path).items() if isinstance(v, np.ndarray)}
    import h5py

    with h5py.File(path, "r") as file:
        found = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset)}
        check_size(_FLOAT_BYTES * sum(v.size for v in found.values()))
        text = {k: v.attrs.get("MATLAB_class") == b"char" for k, v in found.items()}
        return {
            k: np.array("".join(map(chr, np.asarray(v).ravel()))) if text[k] else np.asarray(v).T
            for k, v in found.items()
        }


def _is_voltage(signal: Any) -> bool:
    try:
        signal.rescale("V")
    except ValueError:
        return False
    return True


def _names(signal: Any) -> Any:
    names = (signal.array_annotations or {}).get("channel_names")
    return range(signal.shape[1]) if names is None else names


def _even_rate(times_s: np.ndarray) -> float:
    """Sampling rate of time stamps. Raises ValueError where they are not even: samples are missing."""
    steps = np.diff(times_s)
    if not len(steps) or not np.allclose(steps, steps.mean(), rtol=0, atol=_EVEN * abs(steps.mean())):
        raise ValueError("its time stamps are not evenly spaced: samples are missing; cut it to a stretch without gaps")
    return float(1 / steps.mean())


def library(module: str, name: str) -> Any:
    """A module of the extra 'files'. Raises ImportError that says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{name} reads these files and is not installed: pip install 'circuitsbi[files]'") from error
