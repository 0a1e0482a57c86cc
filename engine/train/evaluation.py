"""How good a small language model is: accuracy on the synthetic tasks, loss on held-out text.

Accuracy is the share of held-out items whose greedy answer is exactly right, to the end-of-sequence token.
"""

from collections.abc import Iterable

import numpy as np

from causeway.engine.model.text import Tokenizer
from causeway.engine.model.transformer import Transformer
from causeway.engine.tasks import suite
from causeway.engine.train.batches import TextBatches, encode_examples
from causeway.engine.train.language_model import answers_right, mean_loss


def task_accuracy(
    transformer: Transformer, tokenizer: Tokenizer, tasks: Iterable[str], length: int, count: int = 200, seed: int = 0
) -> dict[str, float]:
    """Accuracy of each task on up to `count` distinct held-out items of at most `length` tokens, in one pass."""
    items = {task: suite.distinct(task, "held_out", count, seed) for task in tasks}
    examples = [example for drawn in items.values() for example in drawn]
    batch = encode_examples(examples, tokenizer, length, prompt_weight=0.0, training=False)
    right = np.asarray(answers_right(transformer, batch))
    ends = np.cumsum([len(drawn) for drawn in items.values()])
    return {task: float(part.mean()) for task, part in zip(items, np.split(right, ends[:-1]), strict=True)}


def text_loss(transformer: Transformer, batches: TextBatches, count: int = 8) -> float:
    """Mean loss in nats per token over `count` draws of windows."""
    return float(np.mean([mean_loss(transformer, batches(step)) for step in range(count)]))
