"""Packed counts keep their spectra, lose nothing where they are small, and campaigns read the same either way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import csd, welch

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import ASYNCHRONOUS_RANGE, FULL_RANGE, BrunelNetwork
from simulators.campaigns.packed_counts import pack, unpack
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign, CampaignError, write_packed


def correlated_counts(rng, rows=20, samples=1500, mean=300.0):
    """Two Poisson populations that share a slow rate."""
    slow = np.cumsum(rng.standard_normal((rows, samples)), 1) * np.exp(-np.arange(samples) / samples)
    rate = mean * np.exp(0.3 * slow / slow.std())
    return np.stack([rng.poisson(rate), rng.poisson(rate / 4)], 1).astype(np.uint16)


def regular_counts(rng, rows=40, samples=1500, mean=600.0):
    """Two populations 18 dB below Poisson at low frequencies: each bin takes from the next."""
    noise = rng.standard_normal((rows, 2, samples + 2)) * np.sqrt(mean)
    x = mean + noise[..., 2:] - noise[..., 1:-1] + 0.35 * noise[..., :-2]
    x[:, 1] += 0.5 * (x[:, 0] - mean)
    return np.rint(x).astype(np.uint16)


def log_spectra(counts):
    return np.log10(welch(counts.astype(float), nperseg=100, axis=2)[1][..., 1:])


@pytest.mark.parametrize("counts_of", [correlated_counts, regular_counts])
@pytest.mark.parametrize("step", [0.3, 1.0])
def test_spectra_are_kept(counts_of, step, rng):
    counts = counts_of(rng)
    got = unpack(pack(counts, step))
    assert (got != counts).mean() > 0.5
    difference = log_spectra(got) - log_spectra(counts)
    share = step**2 / 12
    np.testing.assert_allclose(difference.mean((0, 2)), 0, atol=0.003 + 0.15 * share)
    np.testing.assert_allclose(difference.mean(0), 0, atol=0.015 + 0.25 * share)
    # An independent error of that share of a spectrum from n segments lets its log scatter by sqrt(2 share / n).
    assert difference.std() < np.log10(np.e) * np.sqrt(2 * share / 15) + 0.005
    before, after = (csd(c[:, 0], c[:, 1], nperseg=100)[1].mean(0) for c in (counts.astype(float), got.astype(float)))
    np.testing.assert_allclose(after[1:], before[1:], rtol=0.1, atol=0.02 * np.abs(before).max())


def test_news_without_their_variance_would_show(rng):
    """The control: news decoded in the steps in which they were counted, the error on top of the signal."""
    counts = regular_counts(rng)
    packed = pack(counts, 1.0)
    naive = unpack(packed._replace(steps=packed.steps * np.float32(np.sqrt(1 + 1 / 12))))
    bias = (log_spectra(naive) - log_spectra(counts)).mean()
    np.testing.assert_allclose(bias, np.log10(1 + 1 / 12), atol=0.01)


@settings(max_examples=150, deadline=None)
@given(mean=st.floats(0.0, 60.0), seed=st.integers(0, 10_000), samples=st.integers(20, 200))
def test_with_steps_of_one_spike_nothing_is_lost(mean, seed, samples):
    counts = correlated_counts(np.random.default_rng(seed), rows=2, samples=samples, mean=mean)
    np.testing.assert_array_equal(unpack(pack(counts, 0.0)), counts)


def test_a_population_of_few_spikes_keeps_both_exact(rng):
    """The other one would not need it, but its errors could grow if this one's were taken away."""
    counts = correlated_counts(rng, mean=120.0)
    counts[:10, 1] = rng.poisson(2.0, counts[:10, 1].shape)
    packed = pack(counts, 0.3)
    assert (packed.steps[:10] == 1).all()
    assert (packed.steps[10:] > 1).all()
    np.testing.assert_array_equal(unpack(packed)[:10], counts[:10])


@pytest.mark.parametrize("theta", [[0.06, 5.48, 0.9], [0.13, 5.16, 0.83]], ids=str)
def test_networks_that_oscillate_slowly_stay_what_they_are(theta):
    """Their predictors are closest to instability, where errors would grow without end."""
    network = BrunelNetwork(duration_ms=2000.0)
    counts = CompiledBrunel(network, FULL_RANGE).simulate(np.array(theta), np.random.default_rng(0)).values
    difference = log_spectra(unpack(pack(counts[None], 0.32))) - log_spectra(counts[None])
    assert np.abs(difference).max() < 0.3
    assert np.abs(difference.mean()) < 0.05


def test_news_too_large_for_a_byte_get_wider_steps(rng):
    counts = correlated_counts(rng)
    counts[3, :, 700] = 9000
    packed = pack(counts, 0.1)
    assert np.abs(packed.news[3].astype(int)).max() == 127
    assert packed.steps[3, 0] > 2 * packed.steps[2, 0]
    np.testing.assert_allclose(log_spectra(unpack(packed))[3], log_spectra(counts)[3], atol=0.1)


def test_silence_stays_silent():
    counts = np.zeros((2, 2, 300), np.uint16)
    np.testing.assert_array_equal(unpack(pack(counts, 0.3)), counts)


def test_a_packed_campaign_reads_like_the_campaign(tmp_path):
    network = BrunelNetwork(order=50, duration_ms=600.0)
    campaign = run_campaign(
        CompiledBrunel(network, ASYNCHRONOUS_RANGE), 6, 1, tmp_path / "c", workers=1, progress=False
    )
    packed = write_packed(campaign, tmp_path / "packed", 5, 0.3, 100)
    np.testing.assert_array_equal(packed.theta, campaign.theta[:5])
    np.testing.assert_array_equal(packed.status, campaign.status[:5])
    assert packed.parameters == campaign.parameters
    rows = packed.usable[[3, 1]]
    for near, exact in zip(packed.recordings(rows), campaign.recordings(rows), strict=True):
        assert (near.unit, near.channels, near.sampling_rate) == (exact.unit, exact.channels, exact.sampling_rate)
        assert near.steady.shape == exact.steady.shape
        np.testing.assert_allclose(log_spectra(near.steady[None]), log_spectra(exact.steady[None]), atol=0.3)
    chunk = next((tmp_path / "packed" / "news" / "c").rglob("0"))
    while chunk.is_dir():
        chunk = next(chunk.iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-7])
    with pytest.raises(CampaignError, match="news is damaged"):
        Campaign(tmp_path / "packed").recordings()


def test_an_unfinished_campaign_is_not_packed(tmp_path):
    network = BrunelNetwork(order=50, duration_ms=400.0)
    campaign = run_campaign(
        CompiledBrunel(network, ASYNCHRONOUS_RANGE), 3, 1, tmp_path / "c", workers=1, progress=False
    )
    campaign.layout.chunk("status", 1).unlink()
    with pytest.raises(CampaignError, match="not finished"):
        write_packed(campaign, tmp_path / "packed", 3, 0.3, 100)
