"""Records what SmolLM2 answers: 64 samples of each question, for the tests of early stopping.

`python -m tests.support.record_answers` writes tests/data/answers.json: for each question its answers by seed, null
where a completion states none. Takes a few minutes on 2 cores.
"""

import asyncio
import json

from deepseek_math.answers.extraction import extract
from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.paths import ROOT
from deepseek_math.sampling import Sampling
from deepseek_math.stop_strings import StopStrings

FILE = ROOT / "tests/data/answers.json"
SAMPLES = 64
SHOTS = """Q: Ann has 3 apples and buys 4 more. How many has she?
A: She has 3 + 4 = 7 apples. The answer is 7.
Q: What is half of 18?
A: Half of 18 is 18 / 2 = 9. The answer is 9.
Q: A book has 20 pages. Ben has read 6. How many are left?
A: There are 20 - 6 = 14 pages left. The answer is 14.
"""
QUESTIONS = [
    "What is 2 + 5?",
    "What is 12 + 30?",
    "What is 9 times 6?",
    "What is 100 minus 37?",
    "What is a quarter of 36?",
    "What is 15% of 200?",
    "Solve x + 8 = 21. What is x?",
    "Solve 3x = 27. What is x?",
    "What is the square of 11?",
    "How many minutes are there in 3 hours?",
    "How many legs have 5 cats?",
    "A box holds 6 eggs. How many eggs are in 7 boxes?",
    "Tom has 15 marbles and loses 6. How many has he?",
    "A train goes 60 km in one hour. How far does it go in 3 hours?",
    "Lisa is 9. Her brother is 4 years older. How old is he?",
    "A pizza is cut into 8 slices. Three are eaten. How many are left?",
    "Five pens cost 10 dollars. What does one pen cost?",
    "A farmer has 17 sheep and buys 5 more. Then 3 run away. How many are left?",
    "There are 4 rows of 9 chairs. 6 chairs are broken. How many are not?",
    "Sam reads 12 pages a day. How many pages does he read in a week?",
    "A shirt costs 40 dollars and is 25% off. What does it cost now?",
    "The sum of two numbers is 20 and one of them is 7. What is the other?",
    "What is 1/2 + 1/4?",
    "What is 7 + 8 * 2?",
]


async def answers(engine: LlamaCppEngine, question: str) -> list[str | None]:
    """One answer a seed, 0 to 63, at temperature 0.7."""
    prompt = await engine.tokenizer.encode(f"{SHOTS}Q: {question}\nA:", control=False)

    async def one(seed: int) -> str | None:
        stops, text = StopStrings(("\nQ",)), ""
        async with engine.gate.enter(len(prompt) + 64):
            async for delta in engine.generate(prompt, Sampling(max_new_tokens=64, temperature=0.7, seed=seed)):
                text += stops.feed(delta.text)
                if stops.hit is not None:
                    break
        return extract(text).text

    return await asyncio.gather(*map(one, range(SAMPLES)))


async def main() -> None:
    engine = LlamaCppEngine(fetch(CHECKPOINTS["smollm2-135m"]), context=512, slots=16)
    await engine.start()
    recorded = {}
    for question in QUESTIONS:
        recorded[question] = await answers(engine, question)
        print(question, *recorded[question], flush=True)
    FILE.write_text(json.dumps(recorded, indent=0, ensure_ascii=False) + "\n")
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
