"""Cross-spectra of sums over channels against closed forms and scipy, and when they are chosen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from inference.features.choice import chosen_spectra
from inference.features.cross_spectra import CrossSpectra
from inference.features.load import features_from_json
from inference.features.spectra import SpectralFeatures
from simulators.recording import Recording

PLAIN = SpectralFeatures(segment_ms=200.0)
DELAY = 3  # samples
IDENTITY = ((1.0, 0.0), (0.0, 1.0))


def sources(rng, coupling=0.7, samples=200_000):
    """White noise, and a delayed copy of it beside noise of its own with half its deviation."""
    first, own = rng.standard_normal((2, samples + DELAY))
    return np.stack([first[DELAY:], coupling * first[:-DELAY] + 0.5 * own[DELAY:]])


def recording(values):
    return Recording(values, 1000.0, "mV", tuple(f"c{i}" for i in range(len(values))))


def test_delayed_copies_have_the_closed_form(rng):
    features = CrossSpectra(segment_ms=200.0, weights=IDENTITY)
    first, beyond, rest, real, imaginary = features(recording(sources(rng)))
    turn = 0.7 * np.exp(-2j * np.pi * features.frequencies * DELAY / 1000)
    inner = slice(1, -1)  # segments' means and Nyquist's frequency are cut off
    np.testing.assert_allclose(first[inner], np.log10(2 / 1000), atol=0.1)
    np.testing.assert_allclose(beyond[inner], np.log10(2 * 0.25 / 1000), atol=0.1)
    np.testing.assert_allclose(real[inner], turn.real[inner], atol=0.1)
    np.testing.assert_allclose(imaginary[inner], turn.imag[inner], atol=0.1)
    assert (rest <= -12 + 1e-9).all()


def test_they_are_scipys_cross_spectra_of_the_sums(rng):
    values = rng.standard_normal((4, 4)) @ rng.standard_normal((4, 3000))
    weights = np.linalg.qr(rng.standard_normal((4, 4)))[0][:3]
    features = CrossSpectra(segment_ms=200.0, weights=tuple(map(tuple, weights)))
    rows = features(recording(values))
    power, told = rows[:4], rows[4:7] + 1j * rows[7:]
    factors = np.zeros((power.shape[1], 3, 3), dtype=complex)
    factors[:, range(3), range(3)] = 1
    for row, (i, j) in enumerate([(1, 0), (2, 0), (2, 1)]):
        factors[:, i, j] = told[row]
    found = factors * 10 ** power[:3].T[:, None] @ factors.conj().transpose(0, 2, 1)
    sums = weights @ values
    _, expected = signal.csd(sums[:, None], sums[None], 1000.0, nperseg=200)
    # scipy's cross-spectra are the conjugate of the first and the second.
    np.testing.assert_allclose(found, expected.conj().transpose(2, 0, 1)[1:], rtol=1e-6, atol=1e-9)
    total = signal.welch(values, 1000.0, nperseg=200)[1].sum(0)[1:]
    np.testing.assert_allclose(10 ** power[3], 1 - np.einsum("fii->f", found).real / total, rtol=1e-6)


def test_principal_sums_are_those_that_the_sources_make(rng):
    mixing = rng.standard_normal((5, 2))
    quiet, loud = (mixing @ sources(rng, samples=3000) * size for size in (1e-3, 1e3))
    features = CrossSpectra.principal(PLAIN, [recording(quiet), recording(loud)])
    w = np.array(features.weights)
    np.testing.assert_allclose(w @ w.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(w.T @ (w @ mixing), mixing, atol=1e-9)
    again = CrossSpectra.principal(PLAIN, [recording(-loud), recording(quiet)])
    np.testing.assert_allclose(again.weights, features.weights, atol=1e-9)
    assert features.shown == PLAIN
    assert features_from_json(features.to_json()) == features


def test_noise_of_single_channels_is_in_the_row_of_other_patterns(rng):
    mixing = rng.standard_normal((5, 2))
    clean = recording(mixing @ sources(rng, samples=3000))
    features = CrossSpectra.principal(PLAIN, [clean])
    row = features.rows(clean.channels).index("other patterns over channels")
    noisy = clean.with_values(clean.values + 0.1 * rng.standard_normal(clean.values.shape))
    change = features(noisy) - features(clean)
    assert change[row].min() > 5
    assert np.abs(np.delete(change, row, 0)).max() < 1


@pytest.mark.parametrize(
    "weights", [(), ((),), ((1.0, 1.0),), ((1.0, 0.0), (1.0, 0.0)), ((np.nan, 1.0),), ((1.0,), (1.0,)), IDENTITY * 9]
)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        CrossSpectra(weights=weights)


def test_another_number_of_channels_is_refused(rng):
    with pytest.raises(ValueError, match="3 channels; these sums have 2"):
        CrossSpectra(weights=IDENTITY)(recording(rng.standard_normal((3, 500))))
    with pytest.raises(ValueError, match="1 channels have no 2 principal"):
        CrossSpectra.principal(PLAIN, [recording(rng.standard_normal((1, 500)))])


def test_a_segment_without_frequencies_is_refused_and_a_flat_recording(rng):
    given = [recording(rng.standard_normal((2, 500))) for _ in range(3)]
    with pytest.raises(ValueError, match="fewer than two frequencies"):
        chosen_spectra(rng.random((3, 1)), given, segment_ms=1.0)
    with pytest.raises(ValueError, match="recording 1 never changes"):
        CrossSpectra.principal(PLAIN, [given[0], recording(np.ones((2, 500)))])


@pytest.mark.parametrize("what", ["coupling", "power"])
def test_they_are_chosen_where_they_tell_more(what, rng):
    """Of how much of one source another copies, powers of the copy tell little where its size is unknown as well."""
    theta = rng.random((150, 2))
    given = []
    for u, size in theta:
        values = sources(rng, 2 * u - 1 if what == "coupling" else 0.0, 2000)
        values[1] *= 1 + size if what == "coupling" else 1 + u
        given.append(recording(values))
    found = chosen_spectra(theta[:, :1], given)
    assert isinstance(found, CrossSpectra) == (what == "coupling")
    alone = [replace(r, values=r.values[:1], channels=("c0",)) for r in given]
    assert not isinstance(chosen_spectra(theta[:, :1], alone), CrossSpectra)
