"""Packed counts: the error is the one that was asked for, and campaigns read the same either way."""

import numpy as np
import pytest

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import AI_RANGE, BrunelNetwork
from simulators.campaign import CampaignError, run_campaign
from simulators.campaign_store import Campaign, write_packed
from simulators.packed_counts import pack, unpack


def correlated_counts(rng, rows=20, samples=1500, mean=300.0):
    """Two Poisson populations that share a slow rate."""
    slow = np.cumsum(rng.standard_normal((rows, samples)), 1) * np.exp(-np.arange(samples) / samples)
    rate = mean * np.exp(0.3 * slow / slow.std())
    return np.stack([rng.poisson(rate), rng.poisson(rate / 4)], 1).astype(np.uint16)


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_the_error_has_the_stated_variance_and_is_white(noise, rng):
    counts = correlated_counts(rng)
    packed = pack(counts, noise)
    error = unpack(packed).astype(float) - counts
    np.testing.assert_array_less(np.abs(error).max(2), packed.steps / 2 + 0.51)
    relative = error.var((0, 2)) / counts.mean((0, 2))
    rounding = 1 / 12 / counts.mean((0, 2))
    np.testing.assert_allclose(relative, noise + rounding, rtol=0.1)
    power = np.mean(np.abs(np.fft.rfft(error, axis=2)[..., 1:]) ** 2, axis=0)
    low, high = power[:, :100].mean(1), power[:, -100:].mean(1)
    np.testing.assert_allclose(low / high, 1, atol=0.2)
    assert packed.departures.dtype == np.int8


def test_with_steps_of_one_spike_nothing_is_lost(rng):
    counts = correlated_counts(rng, mean=10.0)
    np.testing.assert_array_equal(unpack(pack(counts, 0.0)), counts)


def test_departures_too_large_for_a_byte_get_wider_steps(rng):
    counts = correlated_counts(rng)
    counts[3, :, 700] = 9000
    packed = pack(counts, 0.01)
    error = np.abs(unpack(packed).astype(float) - counts)
    assert packed.steps[3, 0] > packed.steps[2, 0]
    assert error[3].max() <= packed.steps[3].max() / 2 + 0.51
    assert error[2].max() <= packed.steps[2].max() / 2 + 0.51


def test_silence_stays_silent():
    counts = np.zeros((2, 2, 300), np.uint16)
    np.testing.assert_array_equal(unpack(pack(counts, 0.03)), counts)


def test_a_packed_campaign_reads_like_the_campaign(tmp_path):
    network = BrunelNetwork(order=50, duration_ms=600.0)
    campaign = run_campaign(CompiledBrunel(network, AI_RANGE), 6, 1, tmp_path / "c", workers=1, progress=False)
    packed = write_packed(campaign, tmp_path / "packed", 5, 0.03, 100)
    np.testing.assert_array_equal(packed.theta, campaign.theta[:5])
    np.testing.assert_array_equal(packed.status, campaign.status[:5])
    assert packed.parameters == campaign.parameters
    rows = packed.usable[[3, 1]]
    for near, exact in zip(packed.recordings(rows), campaign.recordings(rows), strict=True):
        assert (near.unit, near.channels, near.sampling_rate) == (exact.unit, exact.channels, exact.sampling_rate)
        assert near.steady.shape == exact.steady.shape
        assert np.abs(near.steady.astype(int) - exact.steady).max() <= 2
    chunk = next((tmp_path / "packed" / "departures" / "c").rglob("0"))
    while chunk.is_dir():
        chunk = next(chunk.iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-7])
    with pytest.raises(CampaignError, match="departures is damaged"):
        Campaign(tmp_path / "packed").recordings()


def test_an_unfinished_campaign_is_not_packed(tmp_path):
    network = BrunelNetwork(order=50, duration_ms=400.0)
    campaign = run_campaign(CompiledBrunel(network, AI_RANGE), 3, 1, tmp_path / "c", workers=1, progress=False)
    campaign._group["status"][1] = 0
    with pytest.raises(CampaignError, match="not finished"):
        write_packed(campaign, tmp_path / "packed", 3, 0.03, 100)
