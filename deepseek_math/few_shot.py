"""Few-shot prompts: worked examples before the question, for a checkpoint that only continues text.

The two forms are those of the published evaluation (deepseek-ai/DeepSeek-Math at b8b0f8c, few_shot_prompts of GSM8K and
CMATH), less its examples: the four in each language are our own. The evaluation writes its shots with the same code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_math.language import Language


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example. `answer` is empty where the solution states it in words already."""

    question: str
    solution: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """How a few-shot prompt is written. `{number}` counts its questions."""

    ask: str  # with {question}; the completion begins behind it
    reply: str  # with {solution}
    claim: str  # with {answer}, behind the reply
    separator: str
    stop: str  # how the next question begins, which the model may write itself

    @property
    def stops(self) -> tuple[str, str]:
        """The published stop string, and the same with the separator before it, so that no blank lines are left."""
        return self.separator + self.stop.lstrip("\n"), self.stop

    def prompt(self, examples: Sequence[Example], question: str) -> str:
        """The whole text that the checkpoint continues."""
        worked = [self._worked(number, example) for number, example in enumerate(examples, 1)]
        return self.separator.join([*worked, self._asked(len(examples) + 1, question)])

    def _worked(self, number: int, example: Example) -> str:
        claim = self.claim.format(answer=example.answer) if example.answer else ""
        return self._asked(number, example.question) + self.reply.format(solution=example.solution.strip()) + claim

    def _asked(self, number: int, question: str) -> str:
        return self.ask.format(number=number, question=question.strip())


FORMS: Mapping[Language, Form] = {
    "en": Form("Q: {question}\nA:", " {solution}", " The answer is {answer}.", "\n\n\n", "\nQ:"),
    "zh": Form("问题：{question}\n答案：", "{solution}", "所以答案是：{answer}。", "\n\n\n", "\n问题："),
}

EXAMPLES: Mapping[Language, tuple[Example, ...]] = {
    "en": (
        Example(
            "A baker puts 12 rolls on each tray and fills 4 trays. She sells 15 rolls. How many rolls are left?",
            "The baker has 4 * 12 = 48 rolls. She sells 15 of them, so 48 - 15 = 33 rolls are left.",
            "33",
        ),
        Example(
            "A coat costs 80 dollars. Its price is lowered by 15 percent. What does the coat cost now?",
            "15 percent of 80 is 80 * 15 / 100 = 12. So the coat now costs 80 - 12 = 68 dollars.",
            "68",
        ),
        Example(
            "Solve 5x - 7 = 2x + 11 for x.",
            "Subtract 2x from both sides: 3x - 7 = 11. Add 7 to both sides: 3x = 18. So x = 18 / 3 = 6.",
            "6",
        ),
        Example(
            "A rectangle is 3 times as long as it is wide. Its perimeter is 48 cm. What is its area in square cm?",
            "With the width w the perimeter is 2 * (w + 3w) = 8w, so w = 48 / 8 = 6. The length is 3 * 6 = 18, "
            "and the area is 6 * 18 = 108.",
            "108",
        ),
    ),
    "zh": (
        Example(
            "果园里有5排苹果树，每排14棵。后来砍掉了8棵，还剩多少棵？",
            "果园原有5×14=70棵苹果树。砍掉8棵后，还剩70-8=62棵。",
            "62",
        ),
        Example(
            "一本书有240页。小雨第一天读了全书的30%，第二天读了48页。还有多少页没有读？",
            "第一天读了240×30÷100=72页。两天一共读了72+48=120页。还有240-120=120页没有读。",
            "120",
        ),
        Example(
            "解方程4(x-3)=x+9。",
            "去括号，得4x-12=x+9。移项，得3x=21。所以x=21÷3=7。",
            "7",
        ),
        Example(
            "甲、乙两车同时从相距450千米的两地相向而行。甲车每小时行70千米，乙车每小时行80千米。几小时后两车相遇？",
            "两车每小时一共行70+80=150千米。450÷150=3，所以3小时后两车相遇。",
            "3",
        ),
    ),
}
