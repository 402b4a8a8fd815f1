"""A recording reduced to what its channels tell of the sources of a linear instrument."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from simulators.fields.linear import LinearView
from surrogates.spectra.cholesky import cholesky

_SINGULAR = 1e-7  # a direction in which the channels see less than this, of what they see best, is not seen


@dataclass(frozen=True, eq=False)
class ObservedSpectrum:
    """A recording reduced to what the channels tell of the sources, in bands; ``rank`` is the number of directions.

    factors: Cholesky factors of the cross-spectra along these directions (with a leading axis for several recordings of
    one length); samples: independent ones a band;
    mixing: (bands, rank, rank, sources, sources), from the sources' cross-spectra to these; None where it is the
    identity. noise: (bands, rank, rank), cross-spectra that white noise of unit density in every channel makes along
    them. residual: (bands,), mean power of the ``residual_channels`` dimensions in which no source is seen.
    """

    factors: Complex[Tensor, "*recordings bands rank rank"]
    samples: Float[Tensor, " bands"]
    mixing: Complex[Tensor, "bands rank rank sources sources"] | None
    noise: Complex[Tensor, "bands rank rank"]
    residual: Float[Tensor, "*recordings bands"]
    residual_channels: int

    @staticmethod
    def averaged(observed: "Sequence[ObservedSpectrum]") -> "ObservedSpectrum":
        """Several recordings of one length, as trials are, as one of as many samples: means over them."""
        first = observed[0]
        spectra = torch.stack([o.factors @ o.factors.mH for o in observed]).mean(0)
        return replace(
            first,
            factors=cholesky(spectra).nan_to_num(nan=0.0),
            samples=len(observed) * first.samples,
            residual=torch.stack([o.residual for o in observed]).mean(0),
        )

    @staticmethod
    def stacked(observed: "Sequence[ObservedSpectrum]") -> "ObservedSpectrum":
        """Several recordings of one length as one. Raises ValueError where lengths differ."""
        first = observed[0]
        if any(not torch.equal(o.samples, first.samples) for o in observed):
            raise ValueError("recordings differ in length; give recordings of one length")
        factors, residual = (torch.stack([getattr(o, name) for o in observed]) for name in ("factors", "residual"))
        return replace(first, factors=factors, residual=residual)


@dataclass(frozen=True, eq=False)
class Directions:
    """At each frequency: what channels are of the directions, directions of channels, and directions of sources."""

    forward: Complex[np.ndarray, "frequencies channels rank"]
    inverse: Complex[np.ndarray, "frequencies rank channels"]
    mixing: Complex[np.ndarray, "frequencies rank sources"] | None


@lru_cache(maxsize=4)
def directions_of(view: LinearView, frequencies: bytes, noisy: bool) -> Directions:
    """The sources themselves where the channels can tell them apart, else the combinations that they see.

    noisy: orthogonal combinations, in which white noise of the channels stays white; what noise makes of sources that
    channels hardly tell apart single precision could not hold.
    """
    transfer = view.transfer(np.frombuffer(frequencies))
    left, singular, right = np.linalg.svd(transfer, full_matrices=False)
    rank = int((singular / singular[:, :1] > _SINGULAR).all(0).sum())
    left, singular, right = left[:, :, :rank], singular[:, :rank], right[:, :rank]
    outward = left.conj().transpose(0, 2, 1)
    if noisy:
        return Directions(left, outward, singular[:, :, None] * right)
    inverse = outward / singular[:, :, None]
    if rank == transfer.shape[2]:
        back = right.conj().transpose(0, 2, 1)
        return Directions(transfer, back @ inverse, None)
    return Directions(left * singular[:, None, :], inverse, right)
