"""How two outputs differ."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.stats import StatsOptions, compare, statistics
from segcli.stats.drift import ks, psi


def counts(values):
    return sorted(Counter(values).items())


def test_ks_is_the_largest_gap_of_the_cumulative_shares():
    # By hand: after 2, 2/4 of the one and 0 of the other; after 3, 3/4 and 1/2.
    assert ks(counts([1, 2, 3, 4]), counts([3, 5])) == pytest.approx(0.5)
    assert ks(counts([1, 2]), counts([1, 2, 1, 2])) == 0
    assert ks(counts([1]), counts([2])) == 1
    assert ks(counts([1]), []) is None


def test_ks_equals_a_plain_computation():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 50, 400), rng.integers(5, 60, 300)
    gaps = [abs((one <= v).mean() - (other <= v).mean()) for v in range(60)]
    assert ks(counts(one), counts(other)) == pytest.approx(max(gaps))


def test_psi_of_the_same_is_zero_and_of_a_shift_as_computed():
    values = np.arange(1000)
    assert psi(counts(values), counts(values)) == pytest.approx(0)
    # Ten bins of 100 before; now all in the two lowest: 0.5 each, 1e-4 in the others.
    now = np.tile([0, 150], 50)
    expected = 2 * (0.5 - 0.1) * np.log(5) + 8 * (1e-4 - 0.1) * np.log(1e-3)
    assert psi(counts(values), counts(now)) == pytest.approx(expected)


def test_what_moved_is_said(made):
    before, now = made("before", images=400), made("now", seed=1, images=400, score=0.3)
    drift = compare(StatsOptions(masks=now), StatsOptions(masks=before))
    row = next(r for r in drift.classes if r["category"] == "car")
    assert row["score_psi"] > 0.25
    assert row["per_image_now"] > row["per_image_before"]
    (sentence,) = [s for s in drift.sentences if s.startswith("car: ")]
    assert "times as many per image" in sentence or "more per image" in sentence
    assert "scores much higher" in sentence


def test_groups_are_compared_with_their_like(made):
    now, before = made("now", seed=1, images=400, score=0.3), made("before", images=400)
    drift = compare(StatsOptions(masks=now, by="folder"), StatsOptions(masks=before, by="folder"))
    assert {(r["group"], r["category"]) for r in drift.classes} == {
        (f"cam{n}", name) for n in range(2) for name in ("person", "car", "bus")
    }
    for side, path in (("now", now), ("before", before)):
        found = statistics(StatsOptions(masks=path, by="folder"))
        own = {(row["group"], row["category"]): row for row in found.groups}
        for row in drift.classes:
            mine = own[row["group"], row["category"]]
            assert row[f"masks_{side}"] == mine["masks"]
            assert row[f"per_image_{side}"] == pytest.approx(mine["per_image"])
    assert any(s.startswith("cam1, car: ") and "scores much higher" in s for s in drift.sentences)


def test_groups_that_cannot_be_alike_are_refused(made):
    now, before = StatsOptions(masks=made(), by="site"), StatsOptions(masks=made("b"), by="day")
    now = replace(now, by="column:src_site")
    with pytest.raises(UsageError, match="no group in common.*north.*against.*hour-of-day"):
        compare(now, before)


def test_two_parts_of_one_output(made):
    masks = made(images=200)
    now, before = (StatsOptions(masks=masks, key=f"cam{n}/*") for n in (0, 1))
    drift = compare(now, before)
    for side, options in (("now", now), ("before", before)):
        rates = {row["category"]: row["per_image"] for row in statistics(options).classes}
        assert {r["category"]: r[f"per_image_{side}"] for r in drift.classes} == rates
    assert drift.now.run["done"] + drift.before.run["done"] == 180


def test_nothing_moved_is_said_too(made):
    one, other = made("one", images=300), made("other", images=300)
    drift = compare(StatsOptions(masks=one), StatsOptions(masks=other))
    assert drift.sentences[0].startswith("nothing moved")
    assert all(r["score_ks"] == 0 and r["area_psi"] == 0 for r in drift.classes)


def test_each_output_is_prepared_once(made, monkeypatch):
    from segcli.stats import moments

    calls, moments_of = [], moments.moments_of
    monkeypatch.setattr(
        moments, "moments_of", lambda *a, **more: calls.append(a) or moments_of(*a, **more)
    )
    compare(StatsOptions(masks=made()), StatsOptions(masks=made("old", seed=3)))
    assert len(calls) == 2, "once for each preparation"
