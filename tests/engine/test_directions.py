import numpy as np
import pytest

from causeway.engine.directions import Directions
from causeway.engine.model.handle import Model


def test_directions_belong_to_the_model_that_they_were_made_on(transformer):
    model = Model(transformer, None, "tiny", identity="tiny")
    width = transformer.config.d_model
    Directions(("a",), np.ones((1, width)), fingerprint=model.fingerprint).check_of_model(model)
    Directions(("a",), np.ones((1, width)), "resid_post", 2).check_of_model(model)
    with pytest.raises(ValueError, match=r"directions: made on weights 123, but tiny is .*; make them on this model"):
        Directions(("a",), np.ones((1, width)), fingerprint="123").check_of_model(model)
    with pytest.raises(ValueError, match="directions: 5 coordinates, but the stream of tiny has 16"):
        Directions(("a",), np.ones((1, 5))).check_of_model(model)
    with pytest.raises(ValueError, match=r"directions: of layer 3, but tiny has layers 0\.\.2"):
        Directions(("a",), np.ones((1, width)), "resid_post", 3).check_of_model(model)


@pytest.mark.parametrize(
    ("names", "vectors", "place", "message"),
    [
        (("a", "a"), np.ones((2, 4)), (), "needs a name of its own for each vector"),
        (("a",), np.ones(4), (), "needs a name of its own for each vector"),
        (("a",), np.full((1, 4), np.nan), (), "needs an array of finite numbers"),
        (("a",), np.ones((1, 4)), ("final_norm", 2), "needs final_norm .no layer., or resid_post of a layer"),
        (("a",), np.ones((1, 4)), ("mlp_out", 2), "needs final_norm .no layer., or resid_post of a layer"),
    ],
)
def test_what_is_no_direction_is_refused(names, vectors, place, message):
    with pytest.raises(ValueError, match=message):
        Directions(names, vectors, *place)
