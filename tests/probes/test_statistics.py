from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from probes.statistics import Interval, auc, band, paired_interval


@pytest.mark.parametrize(("n", "method"), [(8, "t"), (31, "t"), (32, "bootstrap")])
def test_nine_of_ten_intervals_hold_the_truth(n, method):
    samples = 5.0 + 2.0 * np.random.default_rng(n).standard_normal((2000, n))
    found = [paired_interval(row, seed=at) for at, row in enumerate(samples)]
    assert {interval.method for interval in found} == {method}
    covered = np.mean([interval.low <= 5.0 <= interval.high for interval in found])
    assert 0.87 < covered < 0.93
    halves = np.array([interval.high - interval.low for interval in found]) / 2.0
    students = stats.t.ppf(0.95, n - 1) * stats.sem(samples, axis=1)
    assert (halves / students).mean() == pytest.approx(1.0, abs=0.01)


def test_the_t_interval_is_that_of_a_paired_t_test():
    generator = np.random.default_rng(0)
    one, other = generator.standard_normal((2, 12))
    for level in (0.5, 0.9, 0.99):
        expected = stats.ttest_rel(one, other).confidence_interval(level)
        found = paired_interval(one - other, level)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
        assert (found.value, found.n) == (pytest.approx((one - other).mean()), 12)
        assert (found.method, found.level) == ("t", level)


def test_the_bootstrap_meets_the_t_interval_where_samples_are_normal():
    sample = np.random.default_rng(3).standard_normal(400)
    found = paired_interval(sample, resamples=20_000)
    mean, half = sample.mean(), stats.t.ppf(0.95, 399) * stats.sem(sample)
    assert found.method == "bootstrap"
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), abs=0.05 * half)


def test_the_bootstrap_repeats_with_its_seed_and_nearly_without():
    sample = np.random.default_rng(4).exponential(size=40)
    assert paired_interval(sample, seed=1) == paired_interval(sample, seed=1)
    first, second = paired_interval(sample, seed=1), paired_interval(sample, seed=2)
    assert first != second
    width = first.high - first.low
    assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=0.1 * width)


def test_the_sign_is_where_the_whole_interval_lies():
    sample = np.random.default_rng(5).standard_normal(10)
    assert paired_interval(sample + 10.0).sign == 1
    assert paired_interval(sample - 10.0).sign == -1
    assert paired_interval(sample - sample.mean()).sign == 0
    assert Interval(0.4, 0.3, 0.45, 0.9, 10, 0, "bootstrap", null=0.5).sign == -1
    assert Interval(0.4, 0.0, 0.45, 0.9, 10, 0, "t").sign == 0


def test_seeds_that_diverged_are_left_out_and_counted():
    sample = np.array([1.0, np.nan, 3.0, np.inf, 2.0])
    found = paired_interval(sample)
    assert found == replace(paired_interval([1.0, 3.0, 2.0]), left_out=2)
    assert (found.n, found.left_out) == (3, 2)
    many = np.r_[np.random.default_rng(6).standard_normal(31), np.nan]
    assert paired_interval(many).method == "t"


@pytest.mark.parametrize(
    ("sample", "value", "why"),
    [
        ([], np.nan, "0 of 0 differences are finite, expected at least two for an interval"),
        ([2.0], 2.0, "1 of 1 differences are finite"),
        ([np.nan, 2.0, -np.inf], 2.0, "1 of 3 differences are finite"),
    ],
)
def test_one_seed_has_no_interval_but_a_sentence(sample, value, why):
    found = paired_interval(sample)
    assert found.value == pytest.approx(value, nan_ok=True)
    assert np.isnan([found.low, found.high]).all()
    assert (found.method, found.sign) == ("none", 0)
    assert found.why.startswith(why)
    assert paired_interval([1.0, 2.0]).why == ""


@pytest.mark.parametrize("n", [2, 8, 32, 50])
def test_equal_differences_leave_no_doubt(n):
    found = paired_interval(np.full(n, 0.25))
    assert (found.value, found.low, found.high, found.sign) == (0.25, 0.25, 0.25, 1)
    assert paired_interval(np.zeros(n)).sign == 0


@given(st.integers(0, 1000), st.integers(1, 9), st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_the_band_is_numpys_quantiles_of_the_seeds_that_are_left(seed, seeds, share):
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((20, seeds))
    lost = generator.random((20, seeds)) < 0.3
    lost[:, 0] = False
    values[lost] = np.nan
    ends = [0.5, 0.5 - share / 2.0, 0.5 + share / 2.0]
    expected = np.nanquantile(values, ends, axis=1)
    values[lost] = generator.choice([np.nan, np.inf, -np.inf], lost.sum())
    np.testing.assert_allclose(band(values, share), expected, atol=1e-14)


def test_a_band_by_hand():
    rows = np.array([np.arange(11.0), np.arange(11.0)[::-1] * 2.0])
    median, low, high = band(rows)
    np.testing.assert_allclose([median, low, high], [[5.0, 10.0], [1.0, 2.0], [9.0, 18.0]])
    alone = band(np.array([[3.0], [np.nan]]))
    np.testing.assert_array_equal(alone, [[3.0, np.nan]] * 3)
    np.testing.assert_array_equal(band(np.zeros((2, 0))), np.full((3, 2), np.nan))


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_auc_is_the_area_under_the_roc_curve_ties_included(seed, rough_count, smooth_count):
    generator = np.random.default_rng(seed)
    rough = generator.integers(0, 6, rough_count) / 2.0
    smooth = generator.integers(0, 5, smooth_count) / 2.0
    labels = np.r_[np.ones(rough_count), np.zeros(smooth_count)]
    expected = roc_auc_score(labels, np.r_[rough, smooth])
    found = auc(rough, smooth, resamples=100)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert 0.0 <= found.low <= found.high <= 1.0
    assert auc(smooth, rough, resamples=100).value == pytest.approx(1.0 - expected)


def test_unresolved_scores_count_as_lowest_and_tie_with_each_other():
    assert auc([None, 2.0], [1.0, 1.0]).value == 0.5
    assert auc([None], [None, float("nan")]).value == 0.5
    assert auc([None], [-1e300, 0.0]).value == 0.0
    assert auc([-1e300], [None]).value == 1.0


@pytest.mark.parametrize("paired", [False, True])
def test_nine_of_ten_auc_intervals_hold_the_truth(paired):
    """Normal scores a shift of d apart have AUC Phi(d / sqrt 2); a shared base is added to both."""
    generator = np.random.default_rng(8)
    base = generator.standard_normal((400, 60)) * (1.0 if paired else 0.0)
    noise = 1.0 if not paired else 0.5
    rough = base + noise * generator.standard_normal((400, 60)) + 0.8
    smooth = base + noise * generator.standard_normal((400, 60))
    deviation = (2.0 * (noise**2 + (1.0 if paired else 0.0))) ** 0.5
    truth = stats.norm.cdf(0.8 / deviation)
    found = [
        auc(a, b, paired=paired, resamples=500, seed=at)
        for at, (a, b) in enumerate(zip(rough, smooth, strict=True))
    ]
    assert 0.86 < np.mean([f.low <= truth <= f.high for f in found]) < 0.94
    if paired:  # blind to the shared base, the interval would be far too wide
        blind = auc(rough[0], smooth[0], resamples=500)
        assert blind.high - blind.low > 1.3 * (found[0].high - found[0].low)


def test_an_auc_repeats_with_its_seed_and_knows_its_null():
    generator = np.random.default_rng(9)
    rough, smooth = generator.standard_normal(80) + 1.0, generator.standard_normal(60)
    found = auc(rough, smooth)
    assert found == auc(rough, smooth)
    assert found != auc(rough, smooth, seed=1)
    assert (found.n, found.null, found.sign, found.method) == (140, 0.5, 1, "bootstrap")
    assert auc(smooth, rough).sign == -1
    assert auc(rough, rough).sign == 0


def test_bad_values():
    cases = [
        (lambda: paired_interval(np.ones((2, 2))), r"differences have shape \(2, 2\), expected"),
        (lambda: paired_interval([1.0, 2.0], 1.0), r"level is 1\.0, resamples 2000, seed 0; expec"),
        (lambda: auc([1.0], [2.0], resamples=10), r"level is 0\.9, resamples 10, seed 0; expected"),
        (lambda: auc([], [2.0]), r"rough has shape \(0,\), expected \(n,\) with n at least 1"),
        (lambda: auc([1.0], [[2.0]]), r"smooth has shape \(1, 1\), expected"),
        (lambda: auc([1.0], [2.0, 3.0], paired=True), "1 rough and 2 smooth scores, expected as"),
        (
            lambda: band([1.0, 2.0]),
            r"values have shape \(2,\) and share is 0\.8, expected \(T, S\)",
        ),
        (lambda: band([[1.0]], 1.0), r"share is 1\.0, expected \(T, S\) and a share"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()


def test_pairs_that_are_nearly_tied_have_honest_intervals_too():
    """Partners 0.1 apart on a shared base: a bootstrap that lets twins meet covers 0.72 here."""
    generator = np.random.default_rng(10)
    n, hold = 200, []
    # Different items: P(b + 0.1 + e > b') with b - b' ~ N(0, 2); an item always beats its partner.
    truth = stats.norm.cdf(0.1 / (2.0 + 0.02**2) ** 0.5) * (1.0 - 1.0 / n) + 1.0 / n
    for at in range(200):
        base = generator.standard_normal(n)
        rough = base + 0.1 + 0.02 * generator.standard_normal(n)
        found = auc(rough, base, paired=True, resamples=300, seed=at)
        hold.append(found.low <= truth <= found.high)
    assert 0.85 < np.mean(hold) < 0.97
