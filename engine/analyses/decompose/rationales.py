"""Words of a corpus of worked answers (rationales), the most frequent first: a lexicon of what its authors speak of.

A word is a run of letters, with hyphens or apostrophes inside it, in lower case. It counts once for each text that has
it, however often: a text that repeats itself says no more. Left out are words of fewer than `SHORTEST` letters, words
in fewer texts than asked for, and the function words of `STOP_WORDS`: articles, pronouns, auxiliaries, and
prepositions and conjunctions of no quantity or logic. Words such as not, if, all, each, more, than, per stay.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from causeway.engine import scalars

SHORTEST = 2
_WORD = re.compile(r"[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*")
_FUNCTION_WORDS = """
a an the this that these those i me my mine myself you your yours yourself he him his himself she her hers herself
it its itself we us our ours ourselves they them their theirs themselves who whom whose which what where when why
how am is are was were be been being do does did doing done have has had having will would shall should can could
may might must let lets of to in on at by for with from into onto upon as about above below under over up down out
off through during before after again then there here so such too very just also still yet own same s t d ll m re ve
it's that's he's she's i'm we're they're don't doesn't didn't isn't aren't wasn't weren't won't can't let's
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def words_of_texts(texts: Sequence[str], min_count: int = 5) -> list[str]:
    """The words of some texts by the number of texts that have them, ties in alphabetical order.

    Args:
        texts: rationales. min_count: texts that a word is in, at least.

    Raises:
        ValueError: no texts, or no word that is left.
    """
    listed = [] if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Sequence) else list(texts)
    if not listed or not all(isinstance(text, str) for text in listed):
        raise ValueError(f"texts: got {scalars.shown(texts)}; needs a list of texts")
    least = scalars.integer(min_count, "min_count", 1)
    counts = Counter(word for text in listed for word in set(_words(text)))
    kept = [word for word, count in counts.items() if count >= least]
    if not kept:
        raise ValueError(f"min_count: no word is in {least} of {len(listed)} texts; give a smaller one, or more texts")
    return sorted(kept, key=lambda word: (-counts[word], word))


def _words(text: str) -> list[str]:
    found = (word.lower().replace("\u2019", "'") for word in _WORD.findall(text))
    return [word for word in found if len(word) >= SHORTEST and word not in STOP_WORDS]
