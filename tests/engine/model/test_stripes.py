"""Rows that are over make room for live ones: nothing is lost, nothing stands twice, every array moves with its row."""

import jax
import numpy as np
import pytest

from causeway.engine.devices import local_parallel
from causeway.engine.model.cache import Segment
from causeway.engine.model.decode import Rows
from causeway.engine.model.stripes import Stripe, deal, padded, repack, used

WIDTH = 3


def made(tiny, parallel, count, live, width=WIDTH):
    """Stripes of `count` rows whose every array holds the row's own number."""

    def stripe(ids):
        numbers = np.stack([padded(bucket, width) for bucket in ids]).astype(np.int32)
        caches = np.broadcast_to(numbers[:, None, :, None, None], (len(ids), 2, width, 4, 2)).astype(np.float32)
        segment = Segment((caches,), (caches,), np.zeros(len(ids), np.int32))
        words = np.stack([numbers, numbers], axis=-1).astype(np.uint32)
        rows = Rows(numbers, used(ids, width) & live[numbers], words, numbers)
        edit = tiny.make_edit(count, 2, layer=1, feature=np.arange(count)[:, None], shift=1.0)
        edits = (jax.tree.map(lambda a: np.asarray(a)[numbers], edit),)
        return Stripe(ids, *(parallel.split(tree) for tree in (edits, rows, (segment, segment))))

    return [stripe(ids) for ids in deal(np.arange(count), width, parallel)]


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_live_rows_move_with_all_they_carry(tiny, devices, share):
    count, parallel = 20, local_parallel(devices)
    live = np.random.default_rng(int(10 * share)).random(count) < share
    stripes = repack(made(tiny, parallel, count, live), parallel)
    assert len(stripes) == -(-live.sum() // (WIDTH * devices))
    seen = []
    for stripe in stripes:
        for device, ids in enumerate(stripe.ids):
            for place, row in enumerate(ids):
                if not stripe.rows.live[device, place]:
                    continue
                seen.append(row)
                own = [a[device, place] for a in (stripe.rows.token, stripe.rows.key_data, stripe.rows.first)]
                own += [stripe.edits[0].feature[device, place]]
                own += [a[device, :, place] for s in stripe.past for a in (*s.keys, *s.values)]
                assert all((np.asarray(a) == row).all() for a in own)
            assert not np.asarray(stripe.rows.live)[device, len(ids) :].any()
    assert sorted(seen) == list(np.flatnonzero(live))


def test_stripes_that_are_all_needed_stay_as_they_are(tiny):
    parallel = local_parallel(1)
    live = np.ones(7, bool)
    live[[1, 4]] = False
    before = made(tiny, parallel, 7, live)
    after = repack(before, parallel)  # row 6 goes where row 1 was
    assert after[0].ids[0].tolist() == [0, 6, 2]
    assert after[1] is before[1]
    assert all(new is old for new, old in zip(repack(before[:2], parallel), before[:2], strict=True))


def test_one_program_moves_rows_however_many_stripes_there_are(tiny, compilations):
    parallel = local_parallel(1)
    with compilations() as programs:
        for count in (7, 12, 30):
            repack(made(tiny, parallel, count, np.arange(count) % 3 == 0, width=5), parallel)
    assert programs.count("jit(_take_rows)") == 1
