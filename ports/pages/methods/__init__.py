"""Methods paragraphs: what was done, in plain sentences, from what plans and summaries record and from nothing else.

A sentence of a template (`templates.py`) names facts in braces; it is said where all of them are recorded (`facts.py`)
and have the values that it asks for, and left out where one is not. So a paragraph says nothing that the files do not.
"""

import re
from collections.abc import Mapping, Sequence

from causeway.ports.pages.methods.facts import facts_of
from causeway.ports.pages.methods.templates import BEGINNING, END, TEMPLATES, Sentence
from causeway.ports.pages.section import unreadable
from causeway.ports.pages.workdir import Result

_NAMED = re.compile(r"\{([\w.]+)\}")


def paragraph(result: Result) -> str:
    """What was done for a result; "" for a command that has no template, and where nothing is recorded."""
    facts, own = facts_of(result), TEMPLATES.get(result.driver, ())
    said = [_said(one, facts) for one in (*BEGINNING, *own, *END)] if own else []
    return " ".join(filter(None, said))


def as_markdown(results: Sequence[Result], questions: Mapping[str, str]) -> str:
    """The paragraphs of several results, each below what it is of; those of which nothing is recorded are left out."""
    parts = ["# Methods"]
    for result in results:
        try:
            text = paragraph(result)
        # What stands in files may break a reader in any way, and the others are told.
        except Exception as error:
            text = unreadable("What was done cannot be told", result.folder, error).text
        if text:
            place = f" ({result.name})" if result.name else ""
            parts += [f"## {questions.get(result.driver, result.driver)}{place}", f"`causeway {result.driver}`. {text}"]
    return "\n\n".join(parts) + "\n"


def _said(sentence: Sentence, facts: Mapping[str, str]) -> str:
    names = _NAMED.findall(sentence.text)
    if any(name not in facts for name in names):
        return ""
    if any(facts.get(name) != value for name, value in sentence.where.items()):
        return ""
    return _NAMED.sub(lambda found: facts[found[1]], sentence.text)
