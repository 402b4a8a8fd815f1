"""Campaigns that grow, and campaigns in shards: the same rows as in one piece, whatever the order of the work."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from campaigns import assert_same, run
from toy_simulators import BatchSimulator, NoiseSimulator
from typer.testing import CliRunner

from inference.cli import app
from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.shards import campaign_status, merge, rows_of, shard_path, shards_to_come
from simulators.campaigns.store import Campaign

MIXED = NoiseSimulator(raise_above=0.8, silent_above=0.6)


def files_of(campaign):
    """The content of every file but what says which libraries made it."""
    found = {p.relative_to(campaign.path): p.read_bytes() for p in campaign.path.rglob("*") if p.is_file()}
    return {path: content for path, content in found.items() if len(path.parts) > 1}


def about(campaign):
    return {key: value for key, value in campaign.configuration.items() if key != "versions"}


def assert_equal(first, second):
    assert_same(first, second)
    assert first.reasons == second.reasons
    assert about(first) == about(second)
    assert files_of(first) == files_of(second)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(MIXED, tmp_path_factory.mktemp("whole") / "c", n=20)


def test_a_campaign_grows_and_its_first_rows_stay_what_they_are(tmp_path, whole):
    path = tmp_path / "c"
    first = files_of(run(MIXED, path, n=7))
    grown = run(MIXED, path, n=20)
    assert_equal(grown, whole)
    assert all(files_of(grown)[file] == content for file, content in first.items() if file.name != "zarr.json")


def test_fewer_than_there_are_is_refused_and_nothing_lost(tmp_path):
    before = files_of(run(NoiseSimulator(), tmp_path / "c", n=6))
    with pytest.raises(CampaignError, match="holds 6 simulations, of which the first 4 are those asked for"):
        run(NoiseSimulator(), tmp_path / "c", n=4)
    assert files_of(Campaign(tmp_path / "c")) == before


@pytest.mark.parametrize("of", [1, 3, 7])
def test_merged_shards_are_the_campaign_in_one_piece(tmp_path, whole, of):
    for k in range(of, 0, -1):
        run(MIXED, tmp_path / "c", n=20, shard=(k, of), workers=1)
    assert not (tmp_path / "c").exists()
    assert_equal(merge(tmp_path / "c"), whole)
    shutil.rmtree(tmp_path / "c.shards")
    assert_equal(run(MIXED, tmp_path / "c", n=20), whole)


def test_every_row_is_in_one_shard_and_stays_there():
    for n in (1, 7, 20):
        np.testing.assert_array_equal(np.sort(np.concatenate([rows_of(n, (k, 3)) for k in (1, 2, 3)])), np.arange(n))
    np.testing.assert_array_equal(rows_of(20, (2, 3))[:2], rows_of(7, (2, 3)))


def test_shards_of_batches_and_of_other_numbers_go_together_as_they_come(tmp_path, whole):
    """A shard that grew, one that is not there yet, one of another number of shards; merged in between."""
    path, batches = tmp_path / "c", replace(BatchSimulator(), raise_above=0.8, silent_above=0.6)
    run(batches, path, n=5, shard=(1, 2))
    run(batches, path, n=20, shard=(1, 2))
    half = merge(path)
    assert half.summary().startswith("20 simulations: 10 pending")
    run(batches, path, n=20, shard=(2, 4))
    state = campaign_status(path)
    assert (state.status == Status.PENDING).sum() == 5
    assert [part.shard for part in state.parts] == [None, (1, 2), (2, 4)]
    assert shards_to_come(state) == [(2, 2), (1, 4), (3, 4), (4, 4)]
    run(batches, path, n=20, shard=(4, 4))
    assert_same(merge(path), whole)
    assert Campaign(path).reasons == whole.reasons


def test_what_is_damaged_in_a_shard_is_left_out_until_it_is_mended(tmp_path, whole):
    for k in (1, 2):
        run(MIXED, tmp_path / "c", n=20, shard=(k, 2))
    row = int(whole.usable[0])
    chunk = Campaign(shard_path(tmp_path / "c", (row % 2 + 1, 2))).layout.chunk("values", row)
    chunk.write_bytes(chunk.read_bytes()[:-1])
    state = campaign_status(tmp_path / "c")
    assert (state.status == Status.DAMAGED).sum() == 1
    assert "damaged" in state.reasons[row]
    assert merge(tmp_path / "c").status[row] == Status.PENDING
    run(MIXED, tmp_path / "c", n=20, shard=(row % 2 + 1, 2))
    assert_equal(merge(tmp_path / "c"), whole)


def test_shards_of_two_campaigns_are_not_merged(tmp_path):
    run(NoiseSimulator(), tmp_path / "c", shard=(1, 2))
    run(NoiseSimulator(samples=300), tmp_path / "c", shard=(2, 2))
    for wrong in (merge, campaign_status):
        with pytest.raises(CampaignError, match=r"made with another simulator:\n  simulator.samples: there 300"):
            wrong(tmp_path / "c")


def test_a_shard_that_cannot_be_is_refused(tmp_path):
    for shard in ((0, 3), (4, 3), (1, 10**9)):
        with pytest.raises(ValueError, match="expected K/N with K from 1 to N"):
            run(NoiseSimulator(), tmp_path / "c", shard=shard)
    with pytest.raises(CampaignError, match="there are no shards"):
        merge(tmp_path / "c")
    with pytest.raises(CampaignError, match="there is no campaign"):
        campaign_status(tmp_path / "c")


def terminal(*arguments):
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return ended.exit_code, " ".join(ended.output.split())


def test_shards_from_the_terminal(tmp_path, monkeypatch, whole):
    def instead(simulator, n, seed, path, workers, scheduler, shard):
        return run(MIXED, path, n=n, shard=shard)

    monkeypatch.setattr("simulators.campaigns.run.run_campaign", instead)
    simulate = ["simulate", "--simulator", "brunel", "--n", 20, "--out", tmp_path / "c", "--shard"]
    for shard in ("3", "a/b", "1/2/3", "3/2"):
        code, said = terminal(*simulate, shard)
        assert code == 2
        assert "K/N with K from 1 to N, e.g. 3/8" in said
    assert "1_of_2: 20 simulations: 10 pending" in terminal(*simulate, "1/2")[1]
    code, said = terminal("campaign", "status", tmp_path / "c")
    assert code == 0
    assert "20 simulations: 10 pending" in said
    assert "not begun: shard 2/2" in said
    assert terminal(*simulate, "2/2")[0] == 0
    code, said = terminal("campaign", "merge", tmp_path / "c")
    assert code == 0
    assert whole.summary() in said
    assert "shard 2/2" in terminal("campaign", "status", tmp_path / "c")[1]
    assert terminal("campaign", "merge", tmp_path / "d")[0] == 2


def test_the_terminal_says_why_rows_failed(whole):
    code, said = terminal("campaign", "status", whole.path)
    assert code == 0
    assert "failed" in said
    assert "RuntimeError: a = 0." in said
