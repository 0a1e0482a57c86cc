"""Sums over responses of every comparison and word that is written often enough, by sparse products.

With counts [D, V] of documents, lengths n [D] and the groups' matrix G [G, D] (how many responses of a group are a
document), sums over the responses of each group are products of sparse matrices that have one pattern:

    sum y = G C,    sum y^2 = G C^2,    sum y n = G diag(n) C,    responses with it = G [C > 0]

Where clusters are in both arms G has a row for each (group, cluster), A = G C holds y_c, and a comparison's sums are
those of elementwise products of rows of A. Nothing loops over words or responses: comparisons go in blocks, which bound
memory, and of a block only (comparison, word) pairs in `min_count` responses or more are kept.

Shapes: D documents, V words, C comparisons, n candidates (comparison, word). Cost: a multiplication for each distinct
word of each response and sum; half a million responses of 100 words take about 20 s.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from scipy import sparse

from causeway.engine.analyses.tokens.comparisons import Comparisons, Unit
from causeway.engine.analyses.tokens.counts import Counted
from causeway.engine.stats.log_odds import Arm, Joint

# Groups whose sums are in memory at a time; of clusters in both arms: rows (comparison, cluster).
_GROUPS, _ROWS = 2048, 16384


@dataclasses.dataclass(frozen=True)
class Sums:
    """What is known of each candidate.

    Attributes:
        comparison, word: [n] which.
        first, second: the reference arm and the patched one.
        joint: products of the arms, None where they are independent.
        held: [2, n] clusters that hold the word, in each arm (of clusters in both arms: that hold it more often).
        holding: [n] clusters that hold it in either arm. responses: [2, n] responses that hold it.
        trials: [2, n] responses.
    """

    comparison: Int[np.ndarray, " n"]
    word: Int[np.ndarray, " n"]
    first: Arm
    second: Arm
    joint: Joint | None
    held: Int[np.ndarray, "2 n"]
    holding: Int[np.ndarray, " n"]
    responses: Int[np.ndarray, "2 n"]
    trials: Int[np.ndarray, "2 n"]


def sums(
    counted: Counted, document: Int[np.ndarray, " R"], pairs: Comparisons, unit: Unit, min_count: int
) -> Iterator[Sums]:
    """Sums of the comparisons of one unit, block by block.

    Args:
        counted: words of documents. document: of each response.
    """
    chosen = pairs.of_unit(unit)
    if unit == "response":
        for start in range(0, len(chosen), _GROUPS // 2):
            yield _independent(counted, document, pairs, chosen[start : start + _GROUPS // 2], min_count)
        return
    size = pairs.clusters(chosen)
    step = max(1, _ROWS // size)
    for start in range(0, len(chosen), step):
        yield _joined(counted, document, pairs, chosen[start : start + step], size, min_count)


def _independent(
    counted: Counted, document: Int[np.ndarray, " R"], pairs: Comparisons, block: Int[np.ndarray, " c"], least: int
) -> Sums:
    groups, place = np.unique([pairs.reference[block], pairs.patched[block]], return_inverse=True)
    place = place.reshape(2, -1)
    response, row = _rows_of(pairs.group, groups)
    member, own, own_lengths = _members(row, document[response], len(groups), counted)
    lengths = counted.lengths[document[response]].astype(np.float64)
    sizes = np.array([np.bincount(row, weights, len(groups)) for weights in (None, lengths, lengths**2)])
    held = _product(member, _with_data(own, np.ones_like(own.data)))
    comparison, word = _candidates(held[place[0]] + held[place[1]], least)
    values = {
        "y": _product(member, own), "yy": _product(member, _with_data(own, own.data**2)),
        "yn": _product(sparse.csr_matrix(member.multiply(own_lengths)), own), "held": held,
    }  # fmt: skip
    found = [_gathered(values, place[arm][comparison], word) for arm in (0, 1)]
    arms = [_arm(one, *sizes[:, place[arm][comparison]]) for arm, one in enumerate(found)]
    with_it = np.array([one["held"] for one in found]).astype(np.int64)
    trials = sizes[0][place][:, comparison].astype(np.int64)
    return Sums(block[comparison], word, arms[0], arms[1], None, with_it, with_it.sum(axis=0), with_it, trials)


def _joined(
    counted: Counted, document: Int[np.ndarray, " R"], pairs: Comparisons, block: Int[np.ndarray, " c"], size: int,
    least: int,
) -> Sums:  # fmt: skip
    """As `_independent`, with the sums of a comparison over the clusters that are in both arms."""
    groups, place = np.unique([pairs.reference[block], pairs.patched[block]], return_inverse=True)
    place = place.reshape(2, -1)
    response, group = _rows_of(pairs.group, groups)
    row = group * size + pairs.cluster[response]
    member, own, _ = _members(row, document[response], len(groups) * size, counted)
    lengths = counted.lengths[document[response]].astype(np.float64)
    trials, words = (np.bincount(row, weights, len(groups) * size).reshape(-1, size) for weights in (None, lengths))
    both = (trials[place[0]] > 0) & (trials[place[1]] > 0)
    # Rows (comparison, cluster) of both arms, clusters of one arm alone left out.
    at, cluster = np.nonzero(both)
    collect = sparse.csr_matrix((np.ones(len(at)), (at, np.arange(len(at)))), (len(block), len(at)))
    n = [words[place[arm][at], cluster] for arm in (0, 1)]
    m = [trials[place[arm][at], cluster].astype(np.float64) for arm in (0, 1)]
    picked = [place[arm][at] * size + cluster for arm in (0, 1)]
    y = [_product(member, own)[rows] for rows in picked]
    held = [_product(member, _with_data(own, np.ones_like(own.data)))[rows] for rows in picked]
    comparison, word = _candidates(collect @ (held[0] + held[1]), least)
    found: dict[str, np.ndarray] = {}
    for name, matrix in _products(y, held, n, m).items():
        found |= _gathered({name: _sorted(collect @ sparse.csr_matrix(matrix))}, comparison, word)
    total = {key: (collect @ value)[comparison] for key, value in {
        "n0": n[0], "n1": n[1], "nn0": n[0] ** 2, "nn1": n[1] ** 2, "nn": n[0] * n[1], "m0": m[0], "m1": m[1],
    }.items()}  # fmt: skip
    return _sums_of(block[comparison], word, found, total, both.sum(axis=1).astype(np.float64)[comparison])


def _products(
    y: list[sparse.csr_matrix], held: list[sparse.csr_matrix], n: list[np.ndarray], m: list[np.ndarray]
) -> dict[str, sparse.csr_matrix]:
    """What is summed over clusters, of rows (comparison, cluster) of both arms: y of words, n of all, m responses."""
    more = sparse.diags_array(m[0]) @ held[1] - sparse.diags_array(m[1]) @ held[0]
    return {
        "y0": y[0], "y1": y[1], "yy0": y[0].multiply(y[0]), "yy1": y[1].multiply(y[1]), "yy": y[0].multiply(y[1]),
        "held0": held[0], "held1": held[1], "more0": (more < 0).astype(np.float64),
        "more1": (more > 0).astype(np.float64), "any": ((held[0] + held[1]) > 0).astype(np.float64),
        **{f"y{a}n{b}": sparse.diags_array(n[b]) @ y[a] for a in (0, 1) for b in (0, 1)},
    }  # fmt: skip


def _sums_of(
    comparison: np.ndarray, word: np.ndarray, found: dict[str, np.ndarray], total: dict[str, np.ndarray],
    clusters: np.ndarray,
) -> Sums:  # fmt: skip
    first, second = (
        Arm(found[f"y{a}"], total[f"n{a}"], clusters, found[f"yy{a}"], found[f"y{a}n{a}"], total[f"nn{a}"])
        for a in (0, 1)
    )
    joint = Joint(found["yy"], found["y0n1"], found["y1n0"], total["nn"])
    whole = {name: np.array([found[f"{name}{a}"] for a in (0, 1)]).astype(np.int64) for name in ("held", "more")}
    trials = np.array([total["m0"], total["m1"]]).astype(np.int64)
    return Sums(
        comparison, word, first, second, joint, whole["more"], found["any"].astype(np.int64), whole["held"], trials
    )  # fmt: skip


def _rows_of(group: Int[np.ndarray, " R"], groups: Int[np.ndarray, " g"]) -> tuple[np.ndarray, np.ndarray]:
    """Responses of some groups, and the place of each one's group among them."""
    place = np.full(int(group.max()) + 2, -1)
    place[groups] = np.arange(len(groups))
    response = np.flatnonzero(place[group] >= 0)
    return response, place[group[response]]


def _members(
    row: np.ndarray, document: np.ndarray, rows: int, counted: Counted
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
    """How many responses of each row are each document of theirs; those documents' counts and lengths."""
    documents, place = np.unique(document, return_inverse=True)
    member = sparse.csr_matrix((np.ones(len(row)), (row, place)), (rows, len(documents)))
    return member, counted.counts[documents].astype(np.float64), counted.lengths[documents].astype(np.float64)


def _with_data(matrix: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    """Other entries in the same places."""
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)


def _product(member: sparse.csr_matrix, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    return _sorted(member @ matrix)


def _sorted(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(matrix)
    matrix.sort_indices()
    return matrix


def _candidates(held: sparse.csr_matrix, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of entries of `least` or more, in order."""
    kept = held.tocoo()
    chosen = kept.data >= least
    row, word = kept.row[chosen].astype(np.int64), kept.col[chosen].astype(np.int64)
    order = np.lexsort((word, row))
    return row[order], word[order]


def _gathered(matrices: dict[str, sparse.csr_matrix], row: np.ndarray, word: np.ndarray) -> dict[str, np.ndarray]:
    """Entries at (row, word) of sorted matrices of one pattern, 0 where there is none."""
    first = next(iter(matrices.values()))
    width = first.shape[1]
    keys = np.repeat(np.arange(first.shape[0], dtype=np.int64), np.diff(first.indptr)) * width + first.indices
    wanted = row * width + word
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    there = keys[place] == wanted if len(keys) else np.zeros(len(wanted), bool)
    data = {name: matrix.data for name, matrix in matrices.items()}
    return {name: np.where(there, values[place], 0.0) if len(keys) else np.zeros(len(wanted))
            for name, values in data.items()}  # fmt: skip


def _arm(found: dict[str, np.ndarray], clusters: np.ndarray, n: np.ndarray, nn: np.ndarray) -> Arm:
    return Arm(found["y"], n, clusters, found["yy"], found["yn"], nn)
