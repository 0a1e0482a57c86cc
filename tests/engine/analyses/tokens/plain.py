"""The analysis of words written out: loops over responses and words, scipy for each test."""

import re
from collections import Counter

import numpy as np
from scipy import stats


def words(text):
    return re.findall(r"\$?\d+|\b[a-zA-Z]+\b", text.lower())


def without_echoes(found, prompt, run):
    """What is left when runs of `run` or more that the prompt has, too, are taken out."""
    runs = {tuple(prompt[i : i + run]) for i in range(len(prompt) - run + 1)}
    covered = set()
    for i in range(len(found) - run + 1):
        if tuple(found[i : i + run]) in runs:
            covered |= set(range(i, i + run))
    return [word for i, word in enumerate(found) if i not in covered]


def independent(reference, patched, word, background, prior=1.0):
    """A word's row, from the lists of words of the responses of each arm."""
    every = [w for response in background for w in response]
    mean = len(every) / len(background)
    alpha, total = prior * mean * every.count(word) / len(every) + 0.5, prior * mean + 1
    arms = []
    for responses in (reference, patched):
        y = np.array([response.count(word) for response in responses], float)
        arms.append((y, np.array([len(response) for response in responses], float)))
    row, parts = _odds(arms, alpha, total), []
    for y, n in arms:
        u, a = _influence(y, n, alpha, total)
        parts.append(len(u) * np.var(u, ddof=1) + a**2 * alpha)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(y) - 1) for part, (y, _) in zip(parts, arms, strict=True))
    reach = stats.t.isf(0.025, freedom) * np.sqrt(sum(parts))
    (y1, n1), (y2, n2) = arms
    rate = (y1.sum() + y2.sum()) / (n1.sum() + n2.sum())
    e = np.concatenate([y1 - rate * n1, y2 - rate * n2])
    c = len(e)
    sd = np.sqrt(len(y1) * len(y2) / (c * (c - 1)) * np.sum(e**2))
    held = [int((y > 0).sum()) for y, _ in arms]
    fisher = stats.fisher_exact([[held[1], held[0]], [len(y2) - held[1], len(y1) - held[0]]]).pvalue
    p = _judged(e[len(y1) :].sum(), sd, fisher, sum(held) * min(len(y1), len(y2)) / c >= 10)
    return row | {"low": row["log_odds"] - reach, "high": row["log_odds"] + reach, "p": p, "held": held}


def paired(reference, patched, word, background, prior=1.0):
    """As `independent`, for arms given as {cluster: [responses]}."""
    every = [w for response in background for w in response]
    mean = len(every) / len(background)
    alpha, total = prior * mean * every.count(word) / len(every) + 0.5, prior * mean + 1
    both = sorted(reference.keys() & patched.keys())
    arms = []
    for arm in (reference, patched):
        y = np.array([sum(r.count(word) for r in arm[c]) for c in both], float)
        arms.append((y, np.array([sum(len(r) for r in arm[c]) for c in both], float)))
    row = _odds(arms, alpha, total)
    (u1, a1), (u2, a2) = (_influence(y, n, alpha, total) for y, n in arms)
    least = (a1**2 + a2**2) * alpha
    variance = max(len(both) * np.var(u2 - u1, ddof=1) + least, least)
    reach = stats.t.isf(0.025, len(both) - 1) * np.sqrt(variance)
    (y1, n1), (y2, n2) = arms
    rate = (y1.sum() + y2.sum()) / (n1.sum() + n2.sum())
    d = (y2 - rate * n2) - (y1 - rate * n1)
    shares = [np.array([np.mean([word in r for r in arm[c]]) for c in both]) for arm in (reference, patched)]
    more = [int((shares[0] > shares[1] + 1e-12).sum()), int((shares[1] > shares[0] + 1e-12).sum())]
    sign = stats.binomtest(more[0], sum(more)).pvalue if sum(more) else 1.0
    holding = int(((shares[0] > 0) | (shares[1] > 0)).sum())
    p = _judged(d.sum() / 2, np.sqrt(np.sum(d**2)) / 2, sign, holding >= 10)
    return row | {"low": row["log_odds"] - reach, "high": row["log_odds"] + reach, "p": p}


def _odds(arms, alpha, total):
    (y1, n1), (y2, n2) = ((y.sum(), n.sum()) for y, n in arms)
    logs = [np.log((y + alpha) / (n + total - y - alpha)) for y, n in ((y1, n1), (y2, n2))]
    delta = logs[1] - logs[0]
    table = [[y1, n1 - y1], [y2, n2 - y2]]
    return {
        "log_odds": delta, "z": delta / np.sqrt(1 / (y1 + alpha) + 1 / (y2 + alpha)),
        "original_log_ratio": np.log((y2 + 1) / (y1 + 1)), "original_p": stats.chi2_contingency(table).pvalue,
        "counts": (int(y1), int(y2)), "words": (int(n1), int(n2)),
    }  # fmt: skip


def _influence(y, n, alpha, total):
    own, rest = y.sum() + alpha, n.sum() + total - y.sum() - alpha
    return (1 / own + 1 / rest) * y - n / rest, 1 / own + 1 / rest


def _judged(total, sd, exact, enough):
    if sd == 0:
        return 1.0
    corrected, plain = (2 * stats.norm.sf(max(abs(total) - half, 0) / sd) for half in (0.5, 0.0))
    return corrected if enough else max(exact, plain)


def vocabulary(responses):
    """Words by the number of responses that hold them."""
    return Counter(word for response in responses for word in set(response))
