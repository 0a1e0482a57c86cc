"""Indirect objects: "When Mary and John went to the store, John gave a drink to" -> " Mary", not " John".

The one who gives is named twice, the one who receives once; the receiver follows. The counterfactual prompt swaps who
gives. The split is by pair of names.
"""

import itertools

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong, shuffled

NAME = "indirect_objects"

NAMES = (
    "Mary", "John", "Tom", "Anna", "James", "Sarah", "David", "Laura", "Peter", "Emma", "Mark", "Alice", "Paul",
    "Julia", "Kevin", "Rachel", "Simon", "Lisa", "Adam", "Grace", "Henry", "Kate", "Jack", "Susan", "Daniel", "Helen",
    "Robert", "Maria", "George", "Jane",
)  # fmt: skip
TEMPLATES = (
    "When {a} and {b} went to the {place}, {giver} gave a {thing} to",
    "After {a} and {b} met at the {place}, {giver} handed a {thing} to",
    "While {a} and {b} were at the {place}, {giver} passed a {thing} to",
    "Then {a} and {b} had a long talk at the {place}, and {giver} offered a {thing} to",
)
PLACES = ("store", "park", "school", "office", "station", "beach", "library", "market")
THINGS = ("book", "drink", "ticket", "present", "letter", "flower", "pen", "key")


def candidates(rng: np.random.Generator, _: int) -> list[Candidate]:
    """Every pair of names in both orders, either giving, each in a phrasing, place and thing drawn at random."""
    return [
        _candidate(order, giver, rng)
        for pair in shuffled(rng, list(itertools.combinations(NAMES, 2)))
        for order in (pair, pair[::-1])
        for giver in (0, 1)
    ]


def _candidate(order: tuple[str, str], giver: int, rng: np.random.Generator) -> Candidate:
    template, place, thing = (options[int(rng.integers(len(options)))] for options in (TEMPLATES, PLACES, THINGS))
    prompts = [template.format(a=order[0], b=order[1], giver=name, place=place, thing=thing) for name in order]
    receiver = order[1 - giver]
    return Candidate(
        prompts[giver], f" {receiver}", one_wrong(f" {order[giver]}"), group=" & ".join(sorted(order)),
        balance=("ABA", "BAB")[giver],
        fields={
            "giver": order[giver], "receiver": receiver, "order": ("ABA", "BAB")[giver], "place": place,
            "object": thing, "template": template, "counterfactual_prompt": prompts[1 - giver],
        },
    )  # fmt: skip
