"""Small data sets of white noise, and an estimator of its level, to ask of each recording."""

import csv
import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from inference.cli import app
from inference.estimators.nearest import NearestSimulations
from inference.features.spectra import SpectralFeatures
from inference.recordings.files import write_recording
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

SPACE = ParameterSpace((Parameter("level", "log10 mV", -1.0, 1.0),))
RATE = 1000
CHANNELS = ("upper", "lower")
PREFIXES = {"V": 1e-3, "mV": 1.0, "uV": 1e3, "": 1e3}


def noise(level, seed, seconds=1, channels=2):
    """(channels, samples) in mV."""
    return 10.0**level * np.random.default_rng(seed).standard_normal((channels, RATE * seconds))


def estimator():
    """Of two channels of white noise, by their level."""
    rng = np.random.default_rng(0)
    theta = SPACE.sample(200, rng)
    recordings = [Recording(noise(t[0], i), float(RATE), "mV", CHANNELS) for i, t in enumerate(theta)]
    return NearestSimulations(SPACE, SpectralFeatures()).fit(theta, recordings)


def saved_estimator(folder):
    """The file of ``estimator``."""
    estimator().save(folder / "nearest.safetensors")
    return folder / "nearest.safetensors"


def write_edf(path, values_mV, names=CHANNELS, unit="uV"):
    """A European Data Format file with one record a second; of its unit, as its header says or (of "") does not say."""
    physical = values_mV * PREFIXES[unit]
    signals, samples = physical.shape
    seconds, top = samples // RATE, float(f"{1.01 * np.abs(physical).max():.6g}"[:8])

    def fields(width, texts):
        return b"".join(str(t).encode().ljust(width) for t in texts)

    head = fields(8, ["0"]) + fields(80, ["X X X X", "Startdate X X X X"]) + fields(8, ["01.01.26", "00.00.00"])
    head += fields(8, [256 * (signals + 1)]) + fields(44, [""]) + fields(8, [seconds, 1]) + fields(4, [signals])
    head += fields(16, names) + fields(80, [""] * signals) + fields(8, [unit] * signals)
    head += fields(8, [-top] * signals) + fields(8, [top] * signals)
    head += fields(8, [-32767] * signals) + fields(8, [32767] * signals)
    head += fields(80, [""] * signals) + fields(8, [RATE] * signals) + fields(32, [""] * signals)
    digital = (physical / top * 32767).round().astype("<i2").reshape(signals, seconds, RATE).transpose(1, 0, 2)
    path.write_bytes(head + digital.tobytes())


def write_channels(path, units, names=CHANNELS, kinds=None, bad=()):
    """A channels.tsv."""
    kinds = kinds or ["EEG"] * len(names)
    rows = [f"{n}\t{k}\t{u}\t{'bad' if n in bad else 'good'}\n" for n, k, u in zip(names, kinds, units, strict=True)]
    path.write_text("name\ttype\tunits\tstatus\n" + "".join(rows), encoding="utf-8")


def write_bids(root, subjects=("01", "02"), tasks=("rest",), unit="uV", sidecars=True, seconds=1):
    """A BIDS data set of two channels, in EDF files; gives the paths of its recordings."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "noise", "BIDSVersion": "1.9.0"}))
    paths = []
    for i, subject in enumerate(subjects):
        folder = root / f"sub-{subject}" / "eeg"
        folder.mkdir(parents=True)
        for k, task in enumerate(tasks):
            name = f"sub-{subject}_task-{task}"
            paths.append(folder / f"{name}_eeg.edf")
            write_edf(paths[-1], noise(-0.5 + 0.4 * k, 10 * i + k, seconds), unit=unit)
            if sidecars:
                write_channels(folder / f"{name}_channels.tsv", [unit or "uV"] * 2)
                (folder / f"{name}_eeg.json").write_text(
                    json.dumps({"TaskName": task, "SamplingFrequency": RATE, "PowerLineFrequency": 50})
                )
    return paths


def save(path, level, seed):
    """A recording of noise, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(Recording(noise(level, seed), float(RATE), "mV", CHANNELS), path)


def write_plain(root):
    """A plain folder with two conditions, and something broken in it."""
    for i, name in enumerate(("wake/a", "wake/b", "sleep/c")):
        save(root / f"{name}.npz", -0.5 + 0.3 * i, i)
    (root / "sleep" / "broken.npz").write_bytes(b"no recording")
    return root


def infer(*words):
    """What the command gives back, and what it says."""
    result = CliRunner().invoke(app, ["infer", *map(str, words)])
    return result, " ".join(result.output.split())


def rows_of(path):
    """Of a table."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stamps(results):
    """When each file of a recording's results was written."""
    return {path.name: path.stat().st_mtime_ns for path in sorted(Path(results).glob("recordings/*"))}
