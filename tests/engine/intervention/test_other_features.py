"""Random features in a feature's place: others that write, a function of their key alone."""

import jax.numpy as jnp
import numpy as np

from causeway.engine.intervention.other_features import other_features


def _dictionary(tiny, silent):
    dictionary = tiny.make_dictionary(layers=(0, 1, 2))
    rows = np.array(dictionary.W_dec[...])
    rows[:, silent] = 0
    dictionary.W_dec.set_value(jnp.asarray(rows))
    return dictionary


def test_a_draw_is_another_feature_that_writes_and_depends_on_nothing_beside_it(tiny):
    dictionary = _dictionary(tiny, [2, 5])
    features = np.arange(12)
    found = other_features(1, features, dictionary, range(6), 0)
    assert found.shape == (12, 6)
    assert not (found == features[:, None]).any()
    assert not set(found.ravel().tolist()) & {2, 5}
    assert len(set(found.ravel().tolist())) > 12
    alone = other_features(1, features[[7]], dictionary, [4], 0)
    assert alone[0, 0] == found[7, 4]
    for other in (other_features(2, features, dictionary, range(6), 0),
                  other_features(1, features, dictionary, range(6), 1)):  # fmt: skip
        assert (other != found).any()


def test_a_layer_in_which_nothing_else_writes_is_refused(tiny, refuses):
    dictionary = _dictionary(tiny, np.arange(1, tiny.FEATURES))
    with refuses("random_draws: layer 1 has no other feature that writes"):
        other_features(1, np.array([0]), dictionary, [0], 0)
