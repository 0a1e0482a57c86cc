"""Feature cards as HTML: tokens shaded by a feature's values, and bars of how often it has which value.

A token is a text that a model wrote or read: it is escaped, stands apart from the page's direction of writing, and line
breaks in it are shown as signs. A line whose letters are mostly of a script written from the right runs from the right.
"""

import unicodedata

from markupsafe import Markup, escape

from causeway.ports.pages.section import FeatureCard, Snippet

# What a longer token is cut to, the whole of it in a title.
LONGEST_TOKEN = 40
_SIGNS = str.maketrans({"\n": "\N{RETURN SYMBOL}", "\t": "\N{RIGHTWARDS ARROW}", "\r": "\N{RETURN SYMBOL}"})


def token(text: str) -> Markup:
    """A token alone: spaces at its ends are shown."""
    shown = text.translate(_SIGNS)
    if shown != shown.strip(" ") or not shown:
        before, after = len(shown) - len(shown.lstrip(" ")), len(shown) - len(shown.rstrip(" "))
        inner = shown.strip(" ")
        shown = "\N{OPEN BOX}" * before + inner + "\N{OPEN BOX}" * (after if inner else 0)
    return Markup("<bdi>{}</bdi>").format(_cut(shown))


def shaded(snippet: Snippet) -> Markup:
    """A line of tokens, each shaded by its size beside the largest; values are in titles."""
    most = max(map(abs, snippet.values), default=0.0) or 1.0
    parts = []
    for place, (text, value) in enumerate(zip(snippet.tokens, snippet.values, strict=True)):
        kinds = ["peak"] * (place == snippet.peak) + ["below"] * (value < 0)
        about = Markup(' class="{}"').format(" ".join(kinds)) if kinds else Markup("")
        if value:
            about += Markup(' style="--heat:{:.2f}" title="{:.4g}"').format(abs(value) / most, value)
        parts.append(Markup("<bdi{}>{}</bdi>").format(about, _cut(text.translate(_SIGNS))))
    return Markup("").join(parts)


def direction(snippet: Snippet) -> str:
    """From which side a line is read."""
    letters = [unicodedata.bidirectional(sign) for text in snippet.tokens for sign in text]
    right = sum(kind in ("R", "AL") for kind in letters)
    return "rtl" if right > letters.count("L") else "ltr"


def bar_heights(card: FeatureCard) -> list[tuple[int, str]]:
    """Each bar's height in per cent of the highest, and what it says; gaps between bars are bars of no height."""
    most = max(count for _, _, count in card.bars)
    bars: list[tuple[int, str]] = []
    before = card.bars[0][0]
    for low, high, count in card.bars:
        if low > before:
            bars.append((0, f"{before:.3g} to {low:.3g}: 0 tokens"))
        bars.append((max(1, round(100 * count / most)), f"{low:.3g} to {high:.3g}: {count} tokens"))
        before = high
    return bars


def _cut(text: str) -> Markup:
    if len(text) <= LONGEST_TOKEN:
        return escape(text)
    return Markup('<span title="{}">{}</span>').format(text, text[:LONGEST_TOKEN] + "\N{HORIZONTAL ELLIPSIS}")
