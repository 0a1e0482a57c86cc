"""Training sparse dictionaries of many layers at once: SAEs, transcoders, and transcoders that cross layers.

With x and y the input and the target, each standardised as s (x - m) by its layer's mean and inverse root mean square
deviation (for an SAE y = x),

    p = x W_enc + b_enc       f = activation(p)       y' = f W_dec + b_dec [+ x W_skip]
    loss = mean |y - y'|^2  [+ the price of L0 for jumprelu]

so that the first term is the unexplained share of the variance in every layer, and one learning rate fits all. Rows
of W_dec have norm 1; their gradient is taken along the sphere. The standardisation is folded into what is returned,
whose feature values are in the units of the stream written.

The layers are one stacked axis: the loss is a sum over layers of functions of disjoint parameters, and Adam acts
coordinate by coordinate, so a layer's result does not depend on its company. Where layers are crossed, y' of a layer
holds the features of all layers below it, and the same sum trains them together.

An SAE's encoder begins as the transpose of random decoder rows. A transcoder's begins random, its decoder rows as the
directions of the target that go with their features, E[f y]; W_skip begins at 0.

Shapes: P layers, D the stream read, O the stream written, F features, B tokens of a batch. Cost: 6 P B (D + O) F
operations a step, P (P + 1) / 2 decoders instead of P where layers are crossed; memory: parameters, two moments, and a
few arrays [P, B, F].
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.progress import Step
from causeway.engine.train import sparsity
from causeway.engine.train.checkpoint import Checkpoints, keeping
from causeway.engine.train.design import Design
from causeway.engine.train.folding import fold
from causeway.engine.train.harvest import Shuffled
from causeway.engine.train.recipe import Recipe
from causeway.engine.train.revival import belonging, replanted
from causeway.engine.train.state import (
    Batch,
    DictionaryState,
    Parameters,
    moments,
    reached,
    residual,
    standardised,
    tangent,
    unit,
)

# The batch threshold of a batchtopk dictionary is averaged over about this many steps.
THRESHOLD_MEMORY = 200
# Thresholds move this many times faster than weights: they must follow the pre-activations, whose scale changes early
# in training by a factor of several, for L0 to stay near its target.
THRESHOLD_SPEED = 5.0
# Key of random decoder rows, beyond any step.
_DECODERS = 1 << 31


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Progress:
    """One batch: unexplained share of the variance, features active a token, features that count as dead."""

    unexplained: Float[Array, " P"]
    l0: Float[Array, " P"]
    dead: Int[Array, " P"]


def train_dictionaries(
    recipe: Recipe,
    data: Shuffled,
    design: Design,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 500,
    report: Callable[[int, Progress], None] = lambda step, progress: None,
) -> Dictionary | CrossLayerTranscoder:
    """Train to the end of the recipe, from the latest checkpoint if there is one.

    Args:
        recipe: how to train.
        data: activations by step; its layers are those of the design, and so are its streams.
        design: what to make.
        checkpoints: where to save and resume; None trains in memory alone.
        checkpoint_every: steps between checkpoints (one is always written at the end).
        report: called with (steps done, Progress) after every step; reading the arrays waits for the step.

    Returns:
        The stack, or the transcoder that crosses layers, float32, in the units of the streams. The result of an
        interrupted and resumed run is the uninterrupted run's to the bit.

    Raises:
        Stopped: a signal came, and the steps done are saved.
        NotFiniteError: the model's streams, or a step's reconstruction, are not numbers; no checkpoint is written
            after that.
    """
    program = _Program(recipe, design, data.d_in)
    found = None
    if checkpoints is not None:
        buffer = jax.ShapeDtypeStruct((len(design.layers), data.capacity, data.width), jnp.float32)
        found = checkpoints.restore(jax.eval_shape(program.start, buffer, 1))
    state = found[1] if found else _start(program, *data.buffer(0))
    first, check = int(state.step), partial(_check_progress, design)
    with (
        Step("dictionaries trained", recipe.steps, "step", done=first) as told,
        keeping(checkpoints, checkpoint_every, recipe.steps, check) as keep,
    ):
        for done in range(first + 1, recipe.steps + 1):
            state, progress = _update(program, state, *data(done - 1))
            report(done, progress)
            keep(done, state, progress)
            told.advance()
    return fold(recipe, state, design)


def _check_progress(design: Design, step: int, state: DictionaryState, progress: Progress) -> None:
    finite = np.isfinite(np.asarray(progress.unexplained))
    if not finite.all():
        raise NotFiniteError(
            f"step {step}: the reconstruction of layer {design.layers[int(finite.argmin())]} "
            f"{design.write_stream or design.stream} is not finite; lower the learning rate"
        )


@dataclasses.dataclass(frozen=True)
class _Program:
    """The pure functions of a run, to be jitted. Random numbers are keyed by model layer, not by place in the stack."""

    recipe: Recipe
    design: Design
    d_in: int

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.recipe.rate(), b1=0.9, b2=0.999)

    def start(self, buffer: Float[Array, "P N W"], count: int) -> DictionaryState:
        """Random unit directions, thresholds where L0 is what is aimed at."""
        recipe, (depth, _, width) = self.recipe, buffer.shape
        shift, scale = moments(buffer[..., : self.d_in], count)
        out = moments(buffer[..., self.d_in :], count) if self.design.transcodes else (None, None)
        draw = jax.vmap(lambda key: jax.random.normal(key, (recipe.features, self.d_in)))
        directions = unit(draw(self.keys(0)))
        encoder = directions.swapaxes(1, 2)
        sample = self._batch(buffer[:, : recipe.batch], (shift, scale), out)
        log_threshold = None
        if recipe.kind == "jumprelu":
            levels = jnp.quantile(sample.x @ encoder, 1 - recipe.active / recipe.features, axis=1)
            log_threshold = jnp.log(jnp.maximum(levels, recipe.bandwidth))
        decoder = directions
        if self.design.transcodes:
            decoder = self._matching(_activate(recipe, sample.x @ encoder, log_threshold)[0], sample.y)
        b_enc, b_dec = jnp.zeros((depth, recipe.features)), jnp.zeros((depth, sample.y.shape[-1]))
        skip = jnp.zeros((depth, self.d_in, width - self.d_in)) if self.design.skip else None
        parameters = Parameters(encoder, b_enc, decoder, b_dec, log_threshold, skip)
        idle, adam = jnp.zeros(b_enc.shape, jnp.int32), self.optimiser.init(parameters)
        step = jnp.zeros((), jnp.int32)
        return DictionaryState(parameters, adam, idle, jnp.zeros(depth), shift, scale, step, *out)

    def update(
        self, state: DictionaryState, buffer: Float[Array, "P N W"], places: Int[Array, " B"]
    ) -> tuple[DictionaryState, Progress]:
        """One step of all layers."""
        recipe = self.recipe
        standard = (state.shift, state.scale), (state.target_shift, state.target_scale)
        batch = self._batch(buffer[:, places], *standard)
        gradient, (progress, fired, level) = jax.grad(_loss, has_aux=True)(state.parameters, recipe, batch)
        along = jax.tree.map(tangent, gradient.W_dec, state.parameters.W_dec)
        gradient = dataclasses.replace(gradient, W_dec=along)
        change, adam = self.optimiser.update(gradient, state.moments, state.parameters)
        if change.log_threshold is not None:
            change = dataclasses.replace(change, log_threshold=THRESHOLD_SPEED * change.log_threshold)
        parameters = optax.apply_updates(state.parameters, change)
        parameters = dataclasses.replace(parameters, W_dec=jax.tree.map(unit, parameters.W_dec))
        weight = jnp.maximum(1 / THRESHOLD_MEMORY, 1 / (state.step + 1))
        state = dataclasses.replace(
            state,
            parameters=parameters,
            moments=adam,
            idle=jnp.where(fired, 0, state.idle + 1),
            threshold=state.threshold + weight * (level - state.threshold),
            step=state.step + 1,
        )
        progress = dataclasses.replace(progress, dead=jnp.sum(state.idle >= recipe.dead_after, axis=1))
        due = (state.step % recipe.revive_every == 0) & (state.step <= recipe.steps // 2)
        return jax.lax.cond(due, self.revived, lambda s, _: s, state, batch), progress

    def revived(self, state: DictionaryState, batch: Batch) -> DictionaryState:
        """Dead features begin again at inputs the others explain badly, with no memory of their past."""
        old, dead = state.parameters, state.idle >= self.recipe.dead_after
        error = residual(old, batch, _activate(self.recipe, _read(old, batch.x), old.log_threshold)[0])
        parameters = replanted(self.keys(state.step), old, dead, batch, error, self.design.transcodes)
        forget = lambda moment, gone: jnp.where(gone, 0, moment)  # noqa: E731
        adam = optax.tree.map_params(self.optimiser, forget, state.moments, belonging(old, dead))
        return dataclasses.replace(state, parameters=parameters, moments=adam, idle=jnp.where(dead, 0, state.idle))

    def keys(self, step: int | Int[Array, ""]) -> Key[Array, " layers"]:
        """One key a layer."""
        key = jax.random.fold_in(jax.random.key(self.recipe.seed), step)
        return jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(self.design.layers))

    def _batch(self, values: Float[Array, "P B W"], inputs: tuple, targets: tuple) -> Batch:
        """Standardised; inputs and targets lie side by side in what was harvested."""
        x = standardised(values[..., : self.d_in], *inputs)
        return Batch(x, standardised(values[..., self.d_in :], *targets) if self.design.transcodes else x)

    def _matching(self, f: Float[Array, "P B F"], y: Float[Array, "P B O"]):
        """Unit decoder rows along E[f y]; a random one where a feature is silent."""
        crosses, rows = self.design.cross_layer, []
        for key, values, goal in zip(self.keys(_DECODERS), f, reached(y, crosses), strict=True):
            anyhow = 1e-6 * jax.random.normal(key, (self.recipe.features, goal.shape[-1]))
            rows.append(unit(values.T @ goal / len(goal) + anyhow))
        return tuple(rows) if crosses else jnp.stack(rows)


_start = jax.jit(_Program.start, static_argnums=0)
_update = jax.jit(_Program.update, static_argnums=0, donate_argnums=1)


def _loss(parameters: Parameters, recipe: Recipe, batch: Batch):
    """Loss summed over layers; beside it, progress, which features fired, and the batch thresholds."""
    f, l0, level = _activate(recipe, _read(parameters, batch.x), parameters.log_threshold)
    unexplained = jnp.sum(residual(parameters, batch, f) ** 2, axis=(1, 2)) / batch.x.shape[1]
    price = _price(recipe, l0) if recipe.kind == "jumprelu" else 0.0
    progress = Progress(unexplained, l0, jnp.zeros(len(l0), jnp.int32))
    return jnp.sum(unexplained + price), (progress, jnp.any(f > 0, axis=1), level)


def _read(parameters: Parameters, x: Float[Array, "P B D"]) -> Float[Array, "P B F"]:
    return x @ parameters.W_enc + parameters.b_enc[:, None]


def _activate(
    recipe: Recipe, p: Float[Array, "P B F"], log_threshold: Float[Array, "P F"] | None
) -> tuple[Float[Array, "P B F"], Float[Array, " P"], Float[Array, " P"]]:
    """Feature values, L0, and the batch threshold (0 where the kind has none)."""
    if log_threshold is not None:
        threshold = jnp.exp(log_threshold)
        f = sparsity.jumprelu(p, threshold, recipe.bandwidth)
        return f, sparsity.mean_active(p, threshold, recipe.bandwidth), jnp.zeros(len(p))
    if recipe.kind == "topk":
        f, level = sparsity.topk(p, int(recipe.active)), jnp.zeros(len(p))
    else:
        f, level = sparsity.batchtopk(p, recipe.active)
    return f, jnp.sum(jnp.sum(f > 0, axis=-1), axis=-1) / p.shape[1], level


def _price(recipe: Recipe, l0: Float[Array, " P"]) -> Float[Array, " P"]:
    if recipe.l0_coefficient is not None:
        return recipe.l0_coefficient * l0
    return recipe.target_weight * (l0 / recipe.active - 1) ** 2
