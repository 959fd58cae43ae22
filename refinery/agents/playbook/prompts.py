"""Recipes for what the model was told: one plain sentence added to the prompt behind a run."""

import json
from collections.abc import Iterator

from refinery.agents.playbook import Case, Draft, Recipe
from refinery.agents.playbook._shared.advice import ADVICE, SECOND, THIRD, advise, appended


def add_sentence(case: Case) -> Iterator[Draft]:
    """Append the sentence for the finding's category to the prompt template behind the run."""
    yield from advise(case, ADVICE[case.finding.category])


def restate_instruction(case: Case) -> Iterator[Draft]:
    """Repeat an ignored instruction at the end of the prompt, where models heed it most."""
    instruction = case.finding.facts.get("instruction")
    if not isinstance(instruction, str) or not 0 < len(instruction) <= 200:
        return
    for place in case.places("template"):
        source = case.read(place)
        if source is None or instruction not in source:
            continue  # only the repository's own words are repeated, never the trace's
        sentence = f"Before answering, make sure of this: {json.dumps(instruction)[1:-1]}"
        edit = appended(place, source, sentence)
        if edit is not None and sentence not in source:
            yield Draft(
                title="Repeat the ignored instruction at the end of the prompt",
                rationale="The prompt asks for it, but the answer does not do it.",
                strategy="prompt",
                edits=(edit,),
                fitness=0.5 * place.confidence,
                topic="instruction following order of instructions",
            )
            return


def add_second_sentence(case: Case) -> Iterator[Draft]:
    """Append another sentence for the finding's category."""
    yield from advise(case, SECOND[case.finding.category])


def add_third_sentence(case: Case) -> Iterator[Draft]:
    """Append a sentence that helps less often."""
    yield from advise(case, THIRD[case.finding.category])


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "instruction_ignored": (restate_instruction,),
    **{
        category: tuple(
            recipe
            for sentences, recipe in (
                (ADVICE, add_sentence),
                (SECOND, add_second_sentence),
                (THIRD, add_third_sentence),
            )
            if category in sentences
        )
        for category in dict.fromkeys((*ADVICE, *SECOND, *THIRD))
    },
}
