"""What a page computes spectra from: an emulator's networks, an instrument and a recording, as plain numbers."""

import base64
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from scipy.stats import gamma
from torch import Tensor

from inference.evaluation.predictive import BAND
from simulators.fields.following import DELAY, SYNAPSE, FollowingView
from simulators.fields.linear import LinearView
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands, Transform, band_transform
from surrogates.spectra.following import ALIASES
from surrogates.spectra.likelihood import SpectralModel

ONE_SIDED = 2.0  # times a two-sided density: what Welch's method gives, and figures show
_WITHIN = 8  # frequencies of a band at which kernels are taken
_SHAPES = np.geomspace(0.25, 1e6, 200)  # of gamma distributions
_DIGITS = 6


def numbers_of(model: SpectralModel, recording: Recording | None, duration_ms: float) -> dict[str, Any]:
    """All that a page needs to compute the spectrum of every channel at any theta, and how recordings scatter, as JSON.

    recording: of the model's channels and rate, or None; then recordings of ``duration_ms`` are what the scatter is of.
    Powers are densities in unit^2/Hz, one-sided. Networks are those of ``SpectralEmulator.state``, to the last bit;
    of the bands those alone that count. Raises ValueError as ``counted``.
    """
    emulator = model.emulator
    transform, kept = counted(model, recording, duration_ms)
    tensors = emulator.state()[1]
    return {
        "frequencies": _short(emulator.bands.centres[kept]),
        "edges": [_short(edges[kept]) for edges in (emulator.bands.edges[:-1], emulator.bands.edges[1:])],
        "samples": _short(transform.samples[kept]),
        "sources": len(emulator.channels),
        "low": emulator.parameters.low.tolist(),
        "high": emulator.parameters.high.tolist(),
        "spectra": _spectral_network(tensors, kept, len(emulator.channels)),
        "dispersion": _layers(tensors, "dispersion.body."),
        "sizes": _layers(tensors, "sizes.body."),
        "components": packed(tensors["components"][:, kept] if len(tensors["components"]) else tensors["components"]),
        "instrument": _instrument(model, kept),
        "recording": None if recording is None else _powers(transform, kept),
        "scatter": _quantiles(),
    }


def emulated_powers(
    model: SpectralModel, theta: Float[np.ndarray, "batch n_parameters"], kept: Bool[np.ndarray, " bands"]
) -> Float[np.ndarray, "batch channels kept"]:
    """Power densities (one-sided, unit^2/Hz) of the channels at theta, all of the emulator's parameters."""
    spectra = model.emulator.spectra(theta)[:, kept]
    if model.view is None:
        return ONE_SIDED * np.einsum("bfcc->bcf", spectra).real
    by_name = dict(zip(model.emulator.parameters.names, theta.T, strict=True))
    weights = np.stack([np.broadcast_to(w.of(by_name), len(theta)) for w in model.view.weights], -1)
    weighted = spectra * weights[:, None, :, None] * weights[:, None, None, :]
    if isinstance(model.view, LinearView):
        seen = _products(model.view, model.emulator.bands, kept)[None]
    else:
        assert model.following is not None
        each = {name: torch.as_tensor(values).float() for name, values in by_name.items()}
        transfer = model.following.full(each)[:, kept].numpy()
        seen = np.einsum("bfck,bfcl->bcfkl", transfer, transfer.conj())
    return ONE_SIDED * np.einsum("bcfkl,bfkl->bcf", np.broadcast_to(seen, (len(theta), *seen.shape[1:])), weighted).real


def counted(
    model: SpectralModel, recording: Recording | None, duration_ms: float
) -> tuple[Transform, Bool[np.ndarray, " bands"]]:
    """The recording's transform, or that of silence as long, and which bands count and hold frequencies of it.

    Raises ValueError where there are none.
    """
    source, bands = model.view or model.emulator, model.emulator.bands
    if recording is None:
        rate = model.emulator.sampling_rate
        silence = np.zeros((len(source.channels), round(duration_ms * rate / 1e3)))
        recording = Recording(silence, rate, "1", source.channels)
    transform = band_transform(recording, bands)
    kept = model.counting & (transform.samples > 0)
    if not kept.any():
        raise ValueError("the recording has no frequency in any band that the fit compares; give a longer one")
    return transform, kept


def packed(values: Tensor | np.ndarray) -> dict[str, Any]:
    """An array as base64 of little-endian numbers: half precision where that loses nothing, else single."""
    array = np.asarray(values, dtype=np.float32)
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    exact = bool((half.astype(np.float32) == array).all())
    raw = (half if exact else array.astype("<f4")).tobytes()
    return {"bits": 16 if exact else 32, "shape": list(array.shape), "data": base64.b64encode(raw).decode("ascii")}


def _spectral_network(tensors: dict[str, Tensor], kept: Bool[np.ndarray, " bands"], sources: int) -> dict[str, Any]:
    """Layers, and what its outputs are standardised by, without the bands that do not count and the means."""
    rows = np.flatnonzero(np.repeat(kept, sources**2))
    last = "net.basis." if "net.basis.weight" in tensors else f"net.body.{max(_numbers_in(tensors, 'net.body.'))}."
    fewer = {
        name: value[rows] if name.startswith(last) or name in ("net.mean", "net.scale") else value
        for name, value in tensors.items()
    }
    basis = [[packed(fewer[f"net.basis.{part}"]) for part in ("weight", "bias")]] if last == "net.basis." else []
    return {
        "layers": _layers(fewer, "net.body."),
        "basis": basis,
        "mean": packed(fewer["net.mean"]),
        "scale": packed(fewer["net.scale"]),
    }


def _layers(tensors: dict[str, Tensor], prefix: str) -> list[list[dict[str, Any]]]:
    """Weights and biases of the linear layers of a perceptron, in their order; [] where there is none."""
    return [
        [packed(tensors[f"{prefix}{number}.{part}"]) for part in ("weight", "bias")]
        for number in sorted(_numbers_in(tensors, prefix))
    ]


def _numbers_in(tensors: dict[str, Tensor], prefix: str) -> set[int]:
    return {int(name.removeprefix(prefix).split(".")[0]) for name in tensors if name.startswith(prefix)}


def _instrument(model: SpectralModel, kept: Bool[np.ndarray, " bands"]) -> dict[str, Any] | None:
    """Weights of the sources, and what the channels see of them: products of kernels, or kernels that follow theta."""
    view = model.view
    if view is None:
        return None
    names = model.emulator.parameters.names
    weights = {"weights": [[w.sign, [names.index(name) for name in w.parameters]] for w in view.weights]}
    if isinstance(view, FollowingView):
        return weights | {"following": _following(model, view, kept)}
    products = _products(view, model.emulator.bands, kept)
    below = products[..., *np.tril_indices(len(view.sources), -1)]
    diagonal = np.einsum("cfkk->cfk", products).real
    return weights | {"products": packed(np.concatenate([diagonal, below.real, below.imag], -1))}


def _following(model: SpectralModel, view: FollowingView, kept: Bool[np.ndarray, " bands"]) -> dict[str, Any]:
    """Kernels' transforms (first, second, aliases, bands, channels, sources, real and imaginary) at the nodes of two
    parameters, and what filters them (in ms); angular frequencies in rad/ms."""
    assert model.following is not None
    names = model.emulator.parameters.names
    omega, grid = (each.detach().numpy() for each in model.following.grid)
    aliases = len(ALIASES)
    grid = grid.reshape(*grid.shape[:2], aliases, -1, *grid.shape[3:])[:, :, :, kept]
    return {
        "nodes": [[names.index(name), np.log(values).tolist()] for name, values in view.nodes],
        "omega": packed(omega.imag.reshape(aliases, -1)[:, kept]),
        "synapse": view.synapse_ms,
        "tau": names.index(SYNAPSE),
        "delay": names.index(DELAY),
        "grid": packed(np.stack([grid.real, grid.imag], -1)),
        "channels": len(view.channels),
    }


def _products(
    view: LinearView, bands: Bands, kept: Bool[np.ndarray, " bands"]
) -> Complex[np.ndarray, "channels kept sources sources"]:
    """What each pair of sources of unit cross-spectrum adds to the power of each channel, averaged over each band.

    Of each channel and band a Hermitian matrix; its diagonal, then the real and then the imaginary part of what is
    below, are what a page reads.
    """
    steps = (np.arange(_WITHIN) + 0.5) / _WITHIN
    frequencies = (bands.edges[:-1, None] + bands.widths[:, None] * steps)[kept]
    transfer = view.transfer(frequencies.ravel()).reshape(*frequencies.shape, len(view.channels), len(view.sources))
    return np.einsum("fwck,fwcl->cfkl", transfer, transfer.conj()) / _WITHIN


def _powers(transform: Transform, kept: Bool[np.ndarray, " bands"]) -> list[list[float]]:
    """Mean power density (one-sided) of each channel in each band."""
    power = transform.averaged(np.abs(transform.values.T) ** 2)[kept]
    return [_short(ONE_SIDED * channel) for channel in power.T]


def _quantiles() -> dict[str, Any]:
    """Logarithms of the quantiles of gamma distributions of mean 1, over the logarithm of their shape."""
    ends = [np.log(np.maximum(gamma.ppf(q, _SHAPES) / _SHAPES, 1e-300)) for q in BAND]
    first, last = math.log(_SHAPES[0]), math.log(_SHAPES[-1])
    return {"band": list(BAND), "first": first, "last": last, "low": _short(ends[0]), "high": _short(ends[1])}


def _short(values: Float[np.ndarray, " n"]) -> list[float]:
    return list(_rounded(values))


def _rounded(values: Float[np.ndarray, " n"]) -> Iterator[float]:
    for value in values.tolist():
        yield float(f"{value:.{_DIGITS}g}")
