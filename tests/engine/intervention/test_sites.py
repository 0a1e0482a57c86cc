"""A place in the engine's own spelling."""

import pytest

from causeway.engine.intervention.sites import STREAMS, Place, Site, own_place


def test_a_stream_alone_or_with_its_layer():
    for stream in STREAMS:
        assert own_place(stream) == Place(stream, None)
    assert own_place("resid_post.12") == Place("resid_post", 12)
    assert own_place("mlp_raw.-1") == Place("mlp_raw", -1)
    assert str(Site(12, "resid_post")) == "resid_post.12"


@pytest.mark.parametrize("name", ["", "resid", "resid_post.", "resid_post.1.5", "resid_post.x", "logits.3", "a.1"])
def test_unknown_names_are_refused_with_the_list(name, refuses):
    with refuses("site: cannot read .*; needs STREAM or STREAM.LAYER, with one of embed, resid_pre"):
        own_place(name)


def test_unknown_streams_are_refused_with_the_list(refuses):
    with refuses("embed, resid_pre"):
        Site(0, "residual")
