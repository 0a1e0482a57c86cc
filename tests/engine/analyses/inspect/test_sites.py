"""The right place is found wherever it is; a wrong name is said to be wrong, with the right one."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.inspect.sites import Fit, Places, try_places
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig, take
from causeway.engine.intervention.sites import Site
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source

KEPT = 12


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    return Corpus(rng.integers(0, 40, (8, 9)).astype(np.int32), np.full(8, 9, np.int32), first=1)


def principal(transformer, corpus, site: Site, named: Site) -> Dictionary:
    """The best linear map of `KEPT` dimensions for what is at a site, under another site's name."""
    x = Source(transformer, corpus, site.stream, (site.layer,)).read(np.arange(8))[0].astype(np.float64)
    mean = x.mean(axis=0)
    axes = np.linalg.svd(x - mean, full_matrices=False)[2][:KEPT].T
    both = np.concatenate([axes, -axes], axis=1)[None]
    arrays = {"W_enc": both, "b_enc": -mean @ both, "W_dec": both.swapaxes(1, 2), "b_dec": mean[None]}
    config = DictionaryConfig("relu", (named.layer,), named.stream)
    return Dictionary(config, **{name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()})


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["resid_post", "mlp_out", "attn_in"])
def test_the_named_place_is_the_right_one(transformer, corpus, stream):
    site = Site(1, stream)
    (places,) = try_places(transformer, principal(transformer, corpus, site, site), corpus)
    assert not places.misplaced
    assert (places.fits[0].reads, places.fits[0].writes) == (site, site)
    assert places.named.unexplained < 0.2
    assert f"{site} is the right place" in places.verdict()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (Site(1, "resid_mid"), Site(1, "resid_post")),
        (Site(1, "mlp_in"), Site(1, "mlp_norm")),
        (Site(2, "resid_post"), Site(1, "resid_post")),
        (Site(0, "mlp_out"), Site(1, "mlp_out")),
    ],
)
def test_a_wrong_name_is_said_to_be_wrong(transformer, corpus, right, wrong):
    (places,) = try_places(transformer, principal(transformer, corpus, right, wrong), corpus)
    assert places.misplaced
    assert places.fits[0].reads == right
    assert f"hooked to the wrong place: {places.named} leaves" in places.verdict()
    assert f"{right} leaves" in places.verdict()
    assert places.as_dict()["tried"][0]["place"] == str(right)


def test_one_place_under_two_names(transformer, corpus):
    """resid_pre of a layer is resid_post of the one below."""
    site = Site(1, "resid_pre")
    (places,) = try_places(transformer, principal(transformer, corpus, site, site), corpus)
    assert not places.misplaced
    assert places.named.reads == places.fits[0].reads == Site(0, "resid_post")
    assert Site(0, "resid_pre") in {fit.reads for fit in places.fits}
    assert len({fit.reads for fit in places.fits}) == len(places.fits)


@pytest.mark.slow
def test_figures_are_those_of_the_definition(tiny, transformer, corpus):
    dictionary = tiny.make_dictionary(kind="topk", input_norm="layer_norm")
    for i, places in enumerate(try_places(transformer, dictionary, corpus)):
        assert [fit.unexplained for fit in places.fits] == sorted(fit.unexplained for fit in places.fits)
        for fit in (places.fits[0], places.named, places.fits[-1]):
            x = Source(transformer, corpus, fit.reads.stream, (fit.reads.layer,)).read(np.arange(8))[0]
            made = np.asarray(take(dictionary, i).reconstruct(x), np.float64)
            expected = ((x - made) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
            assert fit.unexplained == pytest.approx(expected, rel=1e-3)


class TestTranscoders:
    @pytest.fixture
    def linear(self, transformer, corpus):
        """The linear map from what one place holds to what another does, fitted by least squares."""

        def make(reads, writes, named_reads, named_writes):
            x, y = (Source(transformer, corpus, s.stream, (s.layer,)).read(np.arange(8))[0] for s in (reads, writes))
            x, y = x.astype(np.float64), y.astype(np.float64)
            fitted = np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=None)[0]
            eye = np.eye(x.shape[1])
            arrays = {
                "W_enc": np.concatenate([eye, -eye], axis=1), "b_enc": np.zeros(2 * len(eye)),
                "W_dec": np.concatenate([fitted, -fitted]), "b_dec": y.mean(0) - x.mean(0) @ fitted,
            }  # fmt: skip
            config = DictionaryConfig("relu", (1,), named_reads, write_stream=named_writes)
            return Dictionary(config, **{n: jnp.asarray(a[None], jnp.float32) for n, a in arrays.items()})

        return make

    def test_right(self, transformer, corpus, linear):
        dictionary = linear(Site(1, "mlp_in"), Site(1, "mlp_out"), "mlp_in", "mlp_out")
        (places,) = try_places(transformer, dictionary, corpus)
        assert not places.misplaced
        assert str(places.named) == "mlp_in.1 -> mlp_out.1"

    @pytest.mark.parametrize(
        ("reads", "writes", "expected"),
        [("attn_in", "mlp_out", "mlp_in.1 -> mlp_out.1"), ("mlp_in", "attn_out", "mlp_in.1 -> mlp_out.1")],
    )
    def test_wrong_at_either_end(self, transformer, corpus, linear, reads, writes, expected):
        dictionary = linear(Site(1, "mlp_in"), Site(1, "mlp_out"), reads, writes)
        (places,) = try_places(transformer, dictionary, corpus)
        assert places.misplaced
        assert str(places.fits[0]) == expected


@pytest.mark.slow
def test_parallel_blocks_have_no_resid_mid(tiny, corpus):
    transformer = tiny.make_transformer(**tiny.FAMILIES["gpt_neox"])
    (places, _) = try_places(transformer, tiny.make_dictionary(), corpus)
    assert "resid_mid" not in {fit.reads.stream for fit in places.fits}


def test_places_too_alike_to_tell():
    here, there = (
        Fit(0.1, Site(1, "resid_post"), Site(1, "resid_post")),
        Fit(0.09, Site(1, "mlp_in"), Site(1, "mlp_in")),
    )
    places = Places(1, here, (there, here))
    assert not places.misplaced
    assert places.verdict() == ("layer 1: resid_post.1 leaves 10 % unexplained, mlp_in.1 leaves 9 %; too alike to tell")


def test_no_text_is_refused(tiny, transformer, corpus, refuses):
    with refuses("no token that counts"):
        try_places(transformer, tiny.make_dictionary(), Corpus(corpus.tokens, np.zeros(8, np.int32), 1))
