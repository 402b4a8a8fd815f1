"""Damage on the disk: it costs the rows it hits, and is never taken for data."""

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from campaigns import assert_same, rows_of, run
from toy_simulators import NoiseSimulator
from zarr.codecs import BloscCodec, Crc32cCodec

from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.sealed import metadata_of, write_metadata
from simulators.campaigns.store import Campaign

MIXED = NoiseSimulator(raise_above=0.8, silent_above=0.6)
CHUNKS = {"theta": "0", "status": "", "reason": "", "values": "0/0"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(MIXED, tmp_path_factory.mktemp("whole") / "c", n=20)


@pytest.fixture
def copy(tmp_path, whole):
    return shutil.copytree(whole.path, tmp_path / "c")


@pytest.fixture
def first_format(tmp_path, whole):
    """The same campaign as the first version wrote it; two rows were still to come."""
    group = zarr.open_group(tmp_path / "first", mode="w")
    group.create_array("theta", data=whole.theta, chunks=whole.theta.shape)
    status = group.create_array("status", shape=(20,), chunks=(1,), dtype="int8")
    reason = group.create_array("reason", shape=(20,), chunks=(1,), dtype="string")
    first = whole.recordings(whole.usable[:1])[0]
    recorded = {name: getattr(first, name) for name in ("sampling_rate", "unit", "channels", "transient")}
    values = group.create_array(
        "values",
        shape=(20, *first.values.shape),
        chunks=(1, *first.values.shape),
        dtype=first.values.dtype,
        compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()],
        attributes=recorded | {"channels": list(first.channels)},
    )
    for row in range(18):
        status[row] = whole.status[row]
        if whole.status[row] != Status.FAILED:
            values[row] = whole.values(np.array([row]))[0]
        if row in whole.reasons:
            reason[row] = whole.reasons[row]
    group.attrs["campaign"] = without_modules(whole.configuration) | {"format": 1}
    return tmp_path / "first"


def without_modules(about):
    if isinstance(about, dict):
        return {key: without_modules(value) for key, value in about.items() if key != "module"}
    return [without_modules(value) for value in about] if isinstance(about, list) else about


def chunk_of(path, name, row):
    return path / name / "c" / str(row) / CHUNKS[name]


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "empty"])
@pytest.mark.parametrize("name", list(CHUNKS))
def test_a_damaged_part_costs_its_row_which_is_named_and_simulated_again(copy, whole, name, damage):
    row = int(np.flatnonzero(whole.status == Status.SILENT)[0]) if name == "reason" else int(whole.usable[2])
    chunk = chunk_of(copy, name, row)
    content = chunk.read_bytes()
    if damage == "flip":
        flip(chunk, 4 * len(content))
    elif damage == "delete":
        chunk.unlink()
    else:
        chunk.write_bytes(content[:-1] if damage == "truncate" else b"")
    hurt = Campaign(copy)
    gone = Status.PENDING if (name, damage) == ("status", "delete") else Status.DAMAGED
    assert hurt.status[row] == gone
    assert row not in hurt.usable
    others = np.arange(20) != row
    np.testing.assert_array_equal(hurt.status[others], whole.status[others])
    np.testing.assert_array_equal(hurt.theta[others], whole.theta[others])
    if gone == Status.DAMAGED:
        assert "1 damaged" in hurt.summary()
        assert "run the same 'circuitsbi simulate' command again" in hurt.reasons[row]
    if name == "values":
        with pytest.raises(CampaignError, match=rf"values of simulation {row} are damaged or missing.*run the same"):
            hurt.values(whole.usable)
    assert_same(run(MIXED, copy, n=20), whole)


def test_a_flipped_bit_anywhere_is_never_taken_for_data(copy, whole):
    """Single bits in all kinds of files: either an error that names the file, or only what was there before."""
    theta, status, values = whole.theta, whole.status, dict(zip(whole.usable, whole.values(whole.usable), strict=True))
    recording = whole.recordings(whole.usable[:1])[0]
    rng = np.random.default_rng(5)
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    kinds = {kind: [f for f in files if re.sub(r"/c/.*", "", str(f.relative_to(copy))) == kind] for kind in
             ("zarr.json", "values/zarr.json", *CHUNKS)}  # fmt: skip
    refused, read = set(), set()
    for k in range(240):
        kind = list(kinds)[k % len(kinds)]
        file = kinds[kind][rng.integers(len(kinds[kind]))]
        before = file.read_bytes()
        flip(file, int(rng.integers(8 * len(before))))
        try:
            hurt = Campaign(copy)
            usable = hurt.usable
            assert hurt.parameters == whole.parameters
            assert set(usable) <= set(values)
            np.testing.assert_array_equal(hurt.theta[usable], theta[usable])
            assert all((a == values[row]).all() for row, a in zip(usable, hurt.values(usable), strict=True))
            kept = hurt.recordings(usable[:1])[0]
            assert (kept.unit, kept.channels, kept.sampling_rate) == ("mV", recording.channels, 1000.0)
            assert np.sum(hurt.status != status) <= 1
            read.add(kind)
        except CampaignError as error:
            refused.add(kind if str(copy) in str(error) else str(error))
        file.write_bytes(before)
    assert refused == {"zarr.json", "values/zarr.json"}
    assert set(CHUNKS) <= read


@pytest.mark.parametrize("name", ["theta", "status", "reason"])
def test_metadata_of_what_is_always_alike_are_written_anew(copy, whole, name):
    (copy / name / "zarr.json").unlink()
    np.testing.assert_array_equal(Campaign(copy).status, whole.status)
    assert_same(run(MIXED, copy, n=20), whole)
    assert zarr.open_array(copy / name).shape[0] == 20


@pytest.mark.parametrize("folder", ["", "values"])
@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_other_damaged_metadata_are_named_with_a_remedy(copy, folder, damage):
    file = copy / folder / "zarr.json"
    file.write_bytes(file.read_bytes()[:50]) if damage == "truncate" else file.unlink()
    words = "is not a campaign" if not folder and damage == "delete" else f"{file} is damaged.*restore it from a copy"
    with pytest.raises(CampaignError, match=words):
        Campaign(copy).values(np.array([0]))


def test_recordings_can_be_had_again_without_their_metadata(copy, whole):
    shutil.rmtree(copy / "values")
    assert not Campaign(copy).usable.size
    assert_same(run(MIXED, copy, n=20), whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 10**9},
        {"n": -1},
        {"n": "20"},
        {"n": True},
        {"seed": None},
        {"parameters": 5},
        {"parameters": []},
        {"parameters": [{"name": "a"}]},
        {"parameters": [{"name": "a", "unit": "mV", "low": 1.0, "high": "2"}]},
        {"parameters": [{"name": str(k), "unit": "", "low": 0.0, "high": 1.0} for k in range(100)], "n": 10**7},
    ],
)
def test_campaigns_that_cannot_be_are_refused_before_memory_is_taken(copy, whole, wrong):
    """Also where the checksum is right, as a stranger's may be."""
    write_metadata(copy, metadata_of({"campaign": whole.configuration | wrong}))
    with pytest.raises(CampaignError, match=r"c/zarr.json is damaged"):
        Campaign(copy)


@pytest.mark.parametrize("shape", [[20, 2, 10**12], [20, 10**5, 10**5], [20, 2], [20, 2, -200], [5, 2, 200], 20])
def test_recordings_of_absurd_shapes_are_refused(copy, shape):
    metadata = json.loads((copy / "values" / "zarr.json").read_text())
    metadata["attributes"].pop("checksum")
    chunk = [1, *shape[1:]] if isinstance(shape, list) else shape
    metadata |= {"shape": shape, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}}}
    write_metadata(copy / "values", metadata)
    with pytest.raises(CampaignError, match="damaged"):
        Campaign(copy).recordings()


def test_a_campaign_of_another_format_is_refused(copy, whole):
    write_metadata(copy, metadata_of({"campaign": whole.configuration | {"format": 99}}))
    with pytest.raises(CampaignError, match="format 99, this version reads 1 and 2"):
        Campaign(copy)


def test_the_first_format_is_read_and_gone_on_with(first_format, whole):
    first = Campaign(first_format)
    np.testing.assert_array_equal(first.status[:18], whole.status[:18])
    np.testing.assert_array_equal(first.theta, whole.theta)
    np.testing.assert_array_equal(first.values(first.usable), whole.values(first.usable))
    assert first.reasons == {row: reason for row, reason in whole.reasons.items() if row < 18}
    kept = chunk_of(first_format, "values", int(first.usable[0])).stat().st_mtime_ns
    finished = run(MIXED, first_format, n=20)
    assert_same(finished, whole)
    assert finished.reasons == whole.reasons
    assert finished.configuration["format"] == 2
    assert chunk_of(first_format, "values", int(first.usable[0])).stat().st_mtime_ns == kept
    assert_same(run(MIXED, first_format, n=20), whole)


def test_an_upgrade_that_was_killed_is_finished(first_format, whole, monkeypatch):
    moved = Path.replace

    def dies(self, target):
        if self.name == "status":
            raise KeyboardInterrupt
        return moved(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        run(MIXED, first_format, n=20)
    monkeypatch.undo()
    assert_same(run(MIXED, first_format, n=20), whole)


@pytest.mark.parametrize("name", ["theta", "status"])
def test_damage_in_the_first_format_is_noticed_where_it_can_be(first_format, whole, name):
    chunk = first_format / "theta" / "c" / "0" / "0" if name == "theta" else chunk_of(first_format, "status", 3)
    chunk.write_bytes(chunk.read_bytes()[:-3])
    hurt = Campaign(first_format)
    np.testing.assert_array_equal(hurt.theta, whole.theta)  # drawn again from the seed
    assert (hurt.status == Status.DAMAGED).sum() == (name == "status")
    chunk.unlink()
    assert not set(Campaign(first_format).usable) - set(whole.usable)
    if name == "theta":  # it reads as zeros, which the seed did not draw
        assert not Campaign(first_format).usable.size
    assert_same(run(MIXED, first_format, n=20), whole)
    (first_format / "status" / "zarr.json").write_text("{")
    assert rows_of(Campaign(first_format))[0].shape == (20, 2)


def test_truncated_metadata_of_the_first_format_are_named(first_format):
    (first_format / "status" / "zarr.json").write_text('{"shape": [20')
    with pytest.raises(CampaignError, match=r"status/zarr.json is damaged.*restore it from a copy"):
        Campaign(first_format).usable  # noqa: B018


def test_one_class_name_of_two_modules_is_two_simulators(copy):
    other = type("NoiseSimulator", (NoiseSimulator,), {"__module__": "test_campaign", "__qualname__": "NoiseSimulator"})
    with pytest.raises(CampaignError, match=r"simulator.module: there \"toy_simulators\", asked \"test_campaign\""):
        run(other(raise_above=0.8, silent_above=0.6), copy, n=20)


class Plain:
    """No dataclass."""

    parameters = NoiseSimulator().parameters

    def simulate(self, theta, rng):
        return NoiseSimulator().simulate(theta, rng)


class Named(Plain):
    version = 1

    def identity(self):
        return {"version": self.version}


def test_a_simulator_says_what_it_is_or_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Plain is no dataclass and has no method identity\(\)"):
        run(Plain(), tmp_path / "c")
    with pytest.raises(ValueError, match=r"configuration of NoiseSimulator is no plain JSON"):
        run(replace(NoiseSimulator(), samples=print), tmp_path / "c")
    named = Named()
    run(named, tmp_path / "c", n=2)
    assert Campaign(tmp_path / "c").configuration["simulator"] == {
        "class": "Named", "module": "test_campaign_files", "version": 1,
    }  # fmt: skip
    named.version = 2
    with pytest.raises(CampaignError, match=r"simulator.version: there 1, asked 2"):
        run(named, tmp_path / "c", n=2)


@dataclass(frozen=True)
class Still(NoiseSimulator):
    """All zeros, like the counts of a network without a spike."""

    def simulate(self, theta, rng):
        recording = super().simulate(theta, rng)
        return recording.with_values(np.zeros_like(recording.values))


def test_a_silent_row_of_zeros_that_is_gone_is_not_taken_for_one_that_is_there(tmp_path):
    campaign = run(Still(), tmp_path / "c", n=3, workers=1)
    assert (campaign.status == Status.SILENT).all()
    chunk_of(tmp_path / "c", "values", 1).unlink()
    np.testing.assert_array_equal(Campaign(tmp_path / "c").status, [Status.SILENT, Status.DAMAGED, Status.SILENT])
