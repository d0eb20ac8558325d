"""The prompts of the bench: as long as GSM8K's questions, and no two alike, so no prompt cache can help."""

from random import Random

NAMES = (
    "Mara",
    "Tomas",
    "Ines",
    "Kofi",
    "Lena",
    "Ravi",
    "Ada",
    "Pablo",
    "Yuki",
    "Omar",
    "Greta",
    "Chidi",
    "Noor",
    "Emil",
)
QUESTIONS = (
    "{name} sells {a} baskets of pears in April and half as many in May. Each basket holds {b} pears and costs {c} "
    "dollars. The stall costs {d} dollars a month. How much is left after both months, and how many pears were sold?",
    "{name} reads {b} pages every morning and {c} pages every evening. The book has {d} pages, and {a} of them are "
    "pictures that take no time. After how many days is the book read, and how many pages are read on the last day?",
    "{name} fills a tank of {d} litres from two taps. The first gives {b} litres a minute, the second {c}. After {a} "
    "minutes the first tap is closed. How many minutes does the second one need to fill what is left of the tank?",
    "{name} drives {d} kilometres to the coast. The car uses {c} litres of fuel for every {a} kilometres, and a litre "
    "costs {b} cents more than a dollar. Two friends share the cost in equal parts. How much does each of them pay?",
    "{name} has {a} red beads, {b} times as many blue ones, and {c} bags with {d} white beads in each. A necklace "
    "takes twelve beads of any colour. How many necklaces can be made, and how many beads are left over at the end?",
    "{name} bakes {d} rolls for a feast. A third go to the first table, {a} to the second, and each of the {c} guests "
    "at the third table takes {b}. How many rolls remain, and how many more would it take to serve that table again?",
)
# A model that begins to work through many steps seldom ends before the bench's few tokens.
BEGINNING = "\nLet us work this out step by step, with every number written down.\n\nStep 1:"


def prompt(*position: object) -> str:
    """The prompt at a position in the run (round, load, number): the same one in every run."""
    random = Random(repr(position))
    numbers = {"a": random.randint(12, 96), "b": random.randint(3, 29), "c": random.randint(3, 19)}
    wording = random.choice(QUESTIONS)
    question = wording.format(name=random.choice(NAMES), d=10 * random.randint(15, 90), **numbers)
    # A number and a name come first, so that two prompts share only a few tokens at their start.
    return f"Problem {random.randint(100, 99999)}. {question}{BEGINNING}"
