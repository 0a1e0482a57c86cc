"""Log odds of words: Monroe's formulas, and interval and p that know which words come together."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats import multiple
from causeway.engine.stats.log_odds import (
    Arm,
    Joint,
    Prior,
    combined,
    interval,
    log_odds,
    monroe_z,
    original_log_ratio,
    original_p,
    presence_test,
    rate_test,
    sign_test,
)


def arm(y, n):
    """The sums of one arm, from [rows, clusters] of a word and of all words."""
    y, n = np.asarray(y, float), np.broadcast_to(np.asarray(n, float), np.shape(y))
    return Arm(*(a.sum(axis=1) for a in (y, n, np.ones_like(y), y * y, y * n, n * n)))


def joint(y1, n1, y2, n2):
    return Joint(*(np.sum(a * b, axis=1) for a, b in ((y1, y2), (y1, n2), (n1, y2), (n1, n2))))


@pytest.fixture
def words():
    """[2 arms, rows, clusters] of words and lengths."""
    rng = np.random.default_rng(0)
    n = rng.integers(4, 20, (2, 40, 25)).astype(float)
    return rng.binomial(n.astype(int), rng.uniform(0.02, 0.4, (1, 40, 1))).astype(float), n


def test_log_odds_and_z_are_those_of_the_formula(words):
    (y1, y2), (n1, n2) = words[0].sum(axis=2), words[1].sum(axis=2)
    alpha, total = np.linspace(0.5, 3, 40), 12.0
    first, second, prior = arm(words[0][0], words[1][0]), arm(words[0][1], words[1][1]), Prior(alpha, total)
    delta = np.log((y2 + alpha) / (n2 + total - y2 - alpha)) - np.log((y1 + alpha) / (n1 + total - y1 - alpha))
    np.testing.assert_allclose(log_odds(first, second, prior), delta, rtol=1e-12)
    z = delta / np.sqrt(1 / (y2 + alpha) + 1 / (y1 + alpha))
    np.testing.assert_allclose(monroe_z(first, second, prior), z, rtol=1e-12)


def test_the_variance_is_that_of_the_clusters_influences_and_of_the_priors_words(words):
    """Written out: what a cluster does to delta, to first order, from finite differences."""
    (y1, y2), (n1, n2) = words
    prior = Prior(np.full(40, 1.5), 20.0)
    first, second = arm(y1, n1), arm(y2, n2)
    low, high = interval(first, second, prior)

    def variance(y, n, sign):
        own, rest = y.sum(axis=1) + 1.5, n.sum(axis=1) - y.sum(axis=1) + 18.5
        # A small weight more on a cluster, per weight.
        step = 1e-6
        base = np.log(own / rest)
        u = [(np.log((own + step * y[:, c]) / (rest + step * (n - y)[:, c])) - base) / step for c in range(25)]
        return 25 * np.var(np.array(u), axis=0, ddof=1) + 1.5 * (1 / own + 1 / rest) ** 2

    parts = variance(y1, n1, -1), variance(y2, n2, 1)
    freedom = (parts[0] + parts[1]) ** 2 / (parts[0] ** 2 / 24 + parts[1] ** 2 / 24)
    reach = stats.t.isf(0.025, freedom) * np.sqrt(parts[0] + parts[1])
    np.testing.assert_allclose((high - low) / 2, reach, rtol=1e-4)
    np.testing.assert_allclose((high + low) / 2, log_odds(first, second, prior), rtol=1e-9)


def test_of_independent_words_the_variance_is_monroes():
    rng = np.random.default_rng(1)
    y, n = rng.poisson(0.02, (2, 1, 200_000)).astype(float), np.full((1, 200_000), 2.0)
    first, second, prior = arm(y[0], n), arm(y[1], n), Prior(np.ones(1), 10.0)
    low, high = interval(first, second, prior)
    monroe = log_odds(first, second, prior) / monroe_z(first, second, prior)
    np.testing.assert_allclose((high - low) / (2 * 1.96 * abs(monroe)), 1, rtol=0.03)


def test_a_word_nobody_wrote_in_an_arm_has_the_priors_variance():
    y1, y2, n = np.zeros((1, 30)), np.repeat([[1.0, 0.0]], 15, axis=1).reshape(1, 30), np.full((1, 30), 8.0)
    low, high = interval(arm(y1, n), arm(y2, n), Prior(np.full(1, 0.5), 9.0))
    assert (high - low)[0] > 2 * 1.96 * np.sqrt(1 / 0.5)
    assert low[0] > 0


def test_the_rate_test_is_the_permutation_of_clusters(words):
    """Variance over all deals of clusters to arms, by drawing many; and that of exchanging arms, likewise."""
    (y1, y2), (n1, n2) = (part[:, :3] for part in words)
    rng = np.random.default_rng(2)
    y, n = np.concatenate([y1, y2], axis=1), np.concatenate([n1, n2], axis=1)
    e = y - y.sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True) * n
    total = e[:, 25:].sum(axis=1)
    deals = np.array([e[:, rng.permutation(50)[:25]].sum(axis=1) for _ in range(20_000)])
    p = rate_test(arm(y1, n1), arm(y2, n2), correction=0.0)
    np.testing.assert_allclose(p, 2 * stats.norm.sf(abs(total) / deals.std(axis=0)), rtol=0.05)
    half = (e[:, 25:] - e[:, :25]) / 2
    flips = (rng.choice([-1, 1], (20_000, 1, 25)) * half).sum(axis=2)
    p = rate_test(arm(y1, n1), arm(y2, n2), joint(y1, n1, y2, n2), correction=0.0)
    np.testing.assert_allclose(p, 2 * stats.norm.sf(abs(total) / flips.std(axis=0)), rtol=0.05)


def test_intervals_hold_the_true_log_odds():
    """Words come in bursts within a response: the clustered interval holds the truth, one for independent words not."""
    rng, runs = np.random.default_rng(3), 3000
    n = np.full((runs, 40), 20.0)
    share = rng.beta(0.5, 9.5, (2, runs, 40))
    y = rng.binomial(20, share).astype(float)
    first, second, prior = arm(y[0], n), arm(y[1], n), Prior(np.full(runs, 1.5), 21.0)
    low, high = interval(first, second, prior)
    held = np.mean((low < 0) & (high > 0))
    assert 0.93 < held < 0.985
    assert np.mean(abs(monroe_z(first, second, prior)) < 1.96) < 0.85


@pytest.mark.slow
def test_q_controls_false_discovery_where_words_come_together_and_the_chi_square_does_not():
    """A null of 30 and 30 responses: each has topics, whose words it repeats. Nothing differs between the arms."""
    rng = np.random.default_rng(4)
    false, claimed, chi_square = [], [], []
    for _ in range(60):
        rate = np.hstack([rng.dirichlet(np.full(300, 0.05), 60) * 40, rng.gamma(0.4, 3, (60, 60))])
        y = rng.poisson(rate).T.astype(float)
        n = np.broadcast_to(y.sum(axis=0), y.shape)
        held = (y > 0).astype(np.int64)
        k1, k2 = held[:, :30].sum(axis=1), held[:, 30:].sum(axis=1)
        kept = k1 + k2 >= 5
        first, second = arm(y[kept, :30], n[kept, :30]), arm(y[kept, 30:], n[kept, 30:])
        exact = presence_test(k1[kept], np.full(kept.sum(), 30), k2[kept], np.full(kept.sum(), 30))
        enough = (k1 + k2)[kept] / 2 >= 10
        p = combined(exact, rate_test(first, second), rate_test(first, second, correction=0.0), enough)
        false.append(np.mean(p < 0.05))
        claimed.append((multiple.adjust(p).q < 0.05).any())
        naive = original_p(first.y, first.n, second.y, second.n)
        chi_square.append((multiple.adjust(naive).q < 0.05).any())
    assert np.mean(false) < 0.05
    assert np.mean(claimed) <= 0.1
    assert np.mean(chi_square) > 0.9


def test_a_longer_text_is_no_more_words_of_each_kind():
    """Arms that differ in length alone: presence sees a difference everywhere, the combined test does not."""
    rng, rows = np.random.default_rng(5), 400
    n = np.concatenate([np.full((rows, 30), 10.0), np.full((rows, 30), 60.0)], axis=1)
    y = rng.poisson(0.006 * n)
    first, second = arm(y[:, :30], n[:, :30]), arm(y[:, 30:], n[:, 30:])
    held = [(part > 0).sum(axis=1) for part in (y[:, :30], y[:, 30:])]
    size = np.full(rows, 30)
    exact = presence_test(held[0], size, held[1], size)
    p = combined(exact, rate_test(first, second), rate_test(first, second, correction=0.0), np.zeros(rows, bool))
    assert np.mean(exact < 0.05) > 0.3
    assert np.mean(p < 0.05) < 0.06


def test_clusters_that_do_not_differ_say_nothing():
    same = np.ones((1, 10)), np.full((1, 10), 5.0)
    assert rate_test(arm(*same), arm(*same))[0] == 1
    assert rate_test(arm(*same), arm(*same), joint(*same, *same))[0] == 1
    assert np.isnan(interval(arm(same[0][:, :1], 5), arm(*same), Prior(np.ones(1), 1.0))).all()


def test_the_sign_test_is_scipys():
    found = sign_test(np.array([0, 3, 10]), np.array([0, 3, 1]))
    np.testing.assert_allclose(found, [1, 1, stats.binomtest(1, 11).pvalue])


def test_the_documents_statistic_is_scipys():
    rng = np.random.default_rng(6)
    y1, y2 = rng.integers(0, 40, (2, 200))
    n1, n2 = y1 + rng.integers(1, 400, 200), y2 + rng.integers(1, 400, 200)
    found = original_p(*(column.astype(float) for column in (y1, n1, y2, n2)))
    for row in range(200):
        table = [[y1[row], n1[row] - y1[row]], [y2[row], n2[row] - y2[row]]]
        expected = stats.chi2_contingency(table).pvalue if y1[row] + y2[row] else np.nan
        np.testing.assert_allclose(found[row], expected, rtol=1e-9)
    np.testing.assert_allclose(original_log_ratio(y1.astype(float), y2.astype(float)), np.log((y2 + 1) / (y1 + 1)))


def test_mid_p_is_fishers_less_half_of_what_came():
    k1, k2, n = np.array([2, 0, 5]), np.array([9, 6, 5]), np.array([30, 20, 10])
    fisher, mid = presence_test(k1, n, k2, n), presence_test(k1, n, k2, n, "mid_p")
    own = stats.hypergeom(2 * n, k1 + k2, n).pmf(k2)
    # Equal arms: the table turned over is as likely, but for the one that is its own.
    np.testing.assert_allclose(mid, fisher - own * np.where(k1 == k2, 0.5, 1.0), rtol=1e-9)
