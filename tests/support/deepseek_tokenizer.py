"""A small tokenizer of DeepSeek LLM's rules: the same splits and control tokens, a vocabulary of our own text.

`python -m tests.support.deepseek_tokenizer` writes tests/data/deepseek_tokenizer. The rules are facts of the
tokenizer.json of deepseek-ai/deepseek-math-7b-rl, and llama.cpp's `deepseek-llm` has the same
(src/llama-vocab.cpp): llama.cpp must find the ids that the library `tokenizers` wrote into vectors.json.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from deepseek_math.paths import ROOT
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE
from deepseek_math.prompts import COT_SUFFIX, TOOL_SUFFIX

FOLDER = ROOT / "tests/data/deepseek_tokenizer"
PUBLISHED = ROOT.parent / "shared/deepseek_tokenizer"  # the real one, which lies beside some clones
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
LETTERS = "øöúÿõ÷ûýÀùÁþü"  # stand for bytes that UTF-8 never has, and are tokens behind the control tokens instead
MERGED = 1500  # tokens before them

# Split in this order. The second lists the letters that have upper and lower case.
CASED = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "Ὗ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ"
    "-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
SPLITS = (
    "[\r\n]",
    rf"\s?[{CASED}]+",
    "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
    r"\s+$",
    "[一-龥\u0800-一\uac00-\ud7ff]+",
    r"\p{N}+",
)

TEXTS = [
    *("", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", " \n \n", "a ", "a  ", "a   b", "  a\n\tb \n"),
    *(
        "How many are left?",
        " How many",
        "  How many",
        "    How\n    many",
        "how MANY",
        "HOW",
        "l'hôtel",
        "it's",
        "' s",
    ),
    *("0", "12", "345", "1234567890", "3.14", "1,000", "x1y22", "½ and ²", "٣٤ and 五"),
    *(
        "x^2 + y^2 = z^2",
        "\\frac{1}{2}",
        "$\\boxed{42}$",
        "a_{n+1}=a_n+d",
        "!!!???",
        "->=>",
        "------=====",
        '"""',
        "```",
    ),
    *("```python\nprint(12 + 30)\n```\n```output\n42\n```\n", "def f(x):\n    return x**2\n"),
    *(
        "小明有3个苹果，还剩多少个？",
        "请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。",
        "（一）“甲”、《乙》。",
        "１２３ＡＢ",
    ),
    *("Äpfel, fünf, naïve, Çelik", "ÿ÷þ ÀÁ úù", "Сколько яблок?", "πr² ≤ ∑∞", "Ελληνικά", "Việt Nam"),
    *(
        "한국어 수학",
        "りんごが3個",
        "សួស្តី",
        "हिन्दी",
        "ქართული",
        "שלום",
        "🙂🙃 👩‍👩‍👧 🚀",
        "a\u00a0b\u2003c\u200bd",
        "e\u0301 é",
    ),
    COT_SUFFIX["en"],
    "User: What is 12 + 30?\n\nAssistant: It is \\boxed{42}.",
]


def corpus() -> list[str]:
    """Our own sentences: the kinds of word problem, and the published suffixes."""
    from deepseek_math.training.word_table import ROWS  # what reads the files alone needs none of it

    said = [text for row in ROWS for wordings in row.wordings.values() for text in wordings]
    return [*said, *COT_SUFFIX.values(), *TOOL_SUFFIX.values(), *TEXTS] * 2


def pre_tokenizer(*more: pre_tokenizers.PreTokenizer) -> pre_tokenizers.PreTokenizer:
    splits = [pre_tokenizers.Split(Regex(rule), "isolated") for rule in SPLITS]
    return pre_tokenizers.Sequence([*splits, *more, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def make() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(pre_tokenizers.Digits(individual_digits=True))  # no token has two digits
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(LETTERS))
    trainer = trainers.BpeTrainer(vocab_size=MERGED, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (BOS, EOS)])
    tokenizer.add_tokens([AddedToken(letter, normalized=True) for letter in LETTERS])
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return tokenizer


def main() -> None:
    tokenizer = make()
    FOLDER.mkdir(exist_ok=True)
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    roles = {
        "tokenizer_class": "LlamaTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "chat_template": DEEPSEEK_TEMPLATE,
    }
    write(FOLDER / "tokenizer_config.json", roles)
    write(FOLDER / "vectors.json", [{"text": text, "ids": encoded(tokenizer, text)} for text in TEXTS])


def encoded(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
