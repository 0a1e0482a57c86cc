"""Lexicons of meanings: the model's own state where a sentence goes on to say what a word means.

Each word is put into a template ("WORD means"), and the stream `final_norm` at the last token is its vector, less the
mean over the lexicon: what all such sentences share (that a definition comes next) is no word's own.

Cost: one forward pass a word without its logits.
"""

from collections.abc import Sequence

import numpy as np

from causeway.engine.analyses.decompose.lexicon import REPEATED, UNKNOWN, Lexicon, known_to
from causeway.engine.analyses.represent.streams import read_streams
from causeway.engine.devices import RowParallel
from causeway.engine.intervention.sites import Place
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.reading.job import Kept
from causeway.engine.reading.passes import ROWS
from causeway.engine.tokenized_prompt import TokenizedPrompt, tokenized

WORD, TEMPLATE = "WORD", "WORD means"


def check_template(template: str) -> None:
    """Refuse what words cannot be put into.

    Raises:
        ValueError: it does not say WORD once.
    """
    if not isinstance(template, str) or template.count(WORD) != 1:
        raise ValueError(f"definition: got {template!r}; needs a text in which WORD stands once, such as {TEMPLATE!r}")


def definition_lexicon(
    model: Model,
    words: Sequence[str],
    template: str = TEMPLATE,
    *,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> Lexicon:
    """Words and phrases, each by the state after its definition.

    Args:
        model: a loaded model with a tokenizer. words: texts. template: what is run, with WORD in the word's place.
        batch_rows: words of a pass. parallel: devices (default: those of the weights). kept: where the states are kept.

    Raises:
        ValueError: a template without WORD, or fewer than two words that can be used.
        NotFiniteError: a word's pass is not all numbers.
    """
    check_template(template)
    known_to(model)
    found: dict[tuple[int, ...], tuple[str, TokenizedPrompt]] = {}
    unknown, repeated = [], []
    for word in words:
        prompt = _prompt(model, template.replace(WORD, word), word)
        if prompt is None:
            unknown.append(word)
        elif prompt.tokens in found:
            repeated.append(word)
        else:
            found[prompt.tokens] = word, prompt
    left_out = {reason: tuple(texts) for reason, texts in ((UNKNOWN, unknown), (REPEATED, repeated)) if texts}
    if len(found) < 2:
        return Lexicon((), np.zeros((0, model.config.d_model), np.float32), "definitions", "", left_out)
    texts, prompts = zip(*found.values(), strict=True)
    states = read_streams(
        model.transformer, prompts, [len(prompt.tokens) - 1 for prompt in prompts], Place("final_norm"),
        batch_rows=batch_rows, parallel=parallel, kept=kept,
    )  # fmt: skip
    return Lexicon(texts, states - states.mean(axis=0), "definitions", model.fingerprint, left_out)


def _prompt(model: Model, text: str, word: str) -> TokenizedPrompt | None:
    """The prompt as the tokenizer knows it, with a space before it where it knows none without; None for neither."""
    for form in (text, f" {text}"):
        try:
            return tokenized(model, PromptRecord(form, id=word))
        except ValueError:
            continue
    return None
