"""Signs that an answer is not to be trusted: which there are, and which ones a prediction shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_math.answers.extraction import Answer, boxed_answers
from deepseek_math.answers.judging import judge
from deepseek_math.prediction import Prediction
from deepseek_math.repetition import Repetition

MOST_COMPARED = 5  # of a text's boxed answers; a comparison may take two seconds
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Doubt:
    """In the words of the terminal's line, of the documentation, and what to do about it."""

    short: str
    meaning: str
    advice: str


DOUBTS: Mapping[str, Doubt] = {
    "no_box": Doubt(
        "no box",
        "The mode asks for a box, and the text has none that is closed. `answer` is then what it says in words, if it "
        "does.",
        "Read the text. With `cut` raise `max_new_tokens`, else draw again: another seed, or more `samples`.",
    ),
    "no_answer": Doubt(
        "no answer",
        "Mode fewshot: the text does not say what its answer is.",
        "Give `examples` of the kind that you ask, or draw several `samples`.",
    ),
    "cut": Doubt(
        "cut at the limit",
        "`max_new_tokens`, or the context, ended the text before the model did.",
        "Raise `max_new_tokens`, unless it also repeats itself: more of the same follows then.",
    ),
    "repeats": Doubt(
        "repeats itself",
        "The end of the text is one period, three times or more. `repetition` has its length in characters and its "
        "count.",
        "Draw again with a temperature of 0.5 or more and another seed, or let several `samples` vote.",
    ),
    "programs_failed": Doubt(
        "programs that failed",
        "Mode tool: a program of this text failed or was ended, so its answer may be a guess.",
        "Read the error in the output block. Let several `samples` vote.",
    ),
    "minority": Doubt(
        "agreement below one half",
        "A vote: fewer than half of the samples used gave this answer.",
        "Raise `samples`, or take the question for one that the model can't answer.",
    ),
    "contradicts": Doubt(
        "two boxes that differ",
        "The text boxes two answers that are neither equal nor one list. Where the question has two parts, that is "
        "right, and `answer` is the last part's.",
        "Read the text. Ask for one answer at a time, or let several `samples` vote.",
    ),
}


def doubts(prediction: Prediction, answer: Answer, repeats: Repetition | None) -> list[str]:
    """The signs that a finished prediction shows, in the order of the table."""
    chosen, election = prediction.chosen, prediction.election
    shows = {
        "no_box": prediction.mode in ("cot", "tool") and answer.source != "boxed",
        "no_answer": prediction.mode == "fewshot" and answer.text is None,
        "cut": chosen is not None and chosen.finish_reason == "length",
        "repeats": repeats is not None,
        "programs_failed": chosen is not None and chosen.tool_errors > 0,
        "minority": election is not None and election.agreement < HALF,
        "contradicts": prediction.contradicts,
    }
    return [name for name in DOUBTS if shows[name]]


async def contradicts(text: str) -> bool:
    """Whether a box of the text says something else than its last one. A comparison that fails says nothing."""
    found = list(dict.fromkeys(boxed_answers(text)))[-MOST_COMPARED:]
    for earlier in found[:-1]:
        verdict = await judge().compare(earlier, found[-1])
        if not verdict.equal and not verdict.reason:
            return True
    return False
