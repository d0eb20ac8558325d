r"""The answer that a completion states: the last complete `\boxed{...}`, else what follows "The answer is".

    >>> extract(r"So $x = \boxed{\frac{1}{2}}$.")
    Answer(text='\\frac{1}{2}', source='boxed')

Covers: nested and escaped braces, `\fbox`, `\boxed 5`, English and Chinese phrases, and the clothes of an answer (`$`,
`\text{}`, bold stars, a full stop), which are taken off.
Does not cover: whether the answer is right, or equal to another one (see `equivalence`).

Only the model's own prose states an answer: what a program says, in its source or its output, is none. The published
scripts fall back on the last output where there is no box and no phrase; here such a completion has no answer.

Fails closed: a box that was never closed holds no answer, for half an answer is often another answer (`\boxed{1` of
`\boxed{12}`). Claims before it count only if they are complete themselves. Time is linear in the text's length.
"""

import re
from dataclasses import dataclass
from typing import Literal

from deepseek_math.programs.fences import prose

MAX_PHRASE = 500  # characters after "The answer is": what is longer is an explanation
LAYERS = 8  # clothes taken off an answer at most, so that a tower of `\text{\text{` costs no more

_TOKEN = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*|\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"(?:[-+]?\d{1,30}(?:[./]\d{1,30})?%?|[A-Za-z])(?=[\s$.,;。，；)\\]|$)")
_PHRASE = re.compile(
    r"""(?ix)
    \b (?: the | final | correct | our | my ) \s{1,9} (?: final \s{1,9} | correct \s{1,9} )? answers?
        (?: \s{1,9} to \s [^.\n\\$]{1,60}? )? \s{0,9} (?: \b (?: is | are | was | equals ) \b | [:=] ) [\s*]{0,9} :?
    | ^ \s{0,9} [*#]{0,4} (?: final \s )? answer [*]{0,2} \s? : [*]{0,2}
    | (?: 最终|最后|正确 )? (?: 的 )? 答案 \s? (?: 应该是 | 应是 | 应为 | 就是 | 是 | 为 | 等于 | (?=[:：]) ) \s? [:：]?
    | (?: ^ | [\s。] ) 答 \s? [:：]
    | (?: 故 | 所以 | 因此 | 应 ) 选 (?: 择 )? \s? [:：]?
    """,
    re.MULTILINE,
)
_DISPLAY = re.compile(
    r"\s*(?:\$\$[^$]{1,500}\$\$|\$[^$]{1,500}\$|\\\[(?:[^\\]|\\[^\]]){1,500}\\\]|\\\((?:[^\\]|\\[^)]){1,500}\\\))"
)
_SENTENCE_END = re.compile(
    r"\n|[。！？．]|[.?](?=[\s*\"”']|$)|[,，]\s*(?:since|because|so|as|which|where|hence|因为|所以|故)|$"
)
_WRAPPER = re.compile(r"\\(?:boxed|fbox|text|textbf|textrm|textit|textnormal|mbox|mathrm|mathbf)\s*(?=\{)")
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}")
_TEXT = re.compile(r"(?P<glued>(?<=[\w})]))?\\(?:text|textrm|textnormal|mbox)\s*\{(?P<words>[^{}\\$]*)\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion says its answer is, as a person would write it down, and which rule found it."""

    text: str | None
    source: Literal["boxed", "phrase"] | None


def extract(text: str) -> Answer:
    """The last complete box, else the last complete claim, else nothing."""
    text = prose(text)
    boxes, opened = _boxes(text)
    for box in reversed(boxes):
        if answer := tidy(text[box]):
            return Answer(answer, "boxed")
    end = len(text)
    for phrase in reversed(list(_PHRASE.finditer(text))):
        if answer := _claim(text[phrase.end() : min(end, phrase.end() + MAX_PHRASE + 1)], opened - phrase.end()):
            return Answer(answer, "phrase")
        end = phrase.start()
    return Answer(None, None)


def tidy(content: str) -> str:
    r"""The answer without its clothes: `$`, `\(`, `\text{}`, bold stars, a full stop. The mathematics stays."""
    text = re.sub(r"(?<!\\)\$|(?<!\\)\\[()\[\]]|(?<!\\)\\(?:displaystyle|left|right)(?![A-Za-z])", "", content)
    text = _TEXT.sub(lambda found: (" " if found["glued"] is not None else "") + found["words"], text)
    text = re.sub(r"(?<!\\)\\[,;:! ]|(?<!\\)~", " ", text)
    text = re.sub(r"\s+", " ", text)
    for _ in range(LAYERS):
        before, text = text, _strip(text)
        wrapper = _WRAPPER.match(text)
        if wrapper and _closing(text, wrapper.end()) == len(text) - 1:
            text = text[wrapper.end() + 1 : -1]
        if text == before:
            break
    return text


def _strip(text: str) -> str:
    """Without outer blanks, bold stars and code quotes, and without the punctuation of the sentence around it."""
    text = text.strip().strip("*`").strip()
    while text.endswith(("\\\\", "\\")):
        text = text[:-1].rstrip()
    end = len(text.rstrip(" .,;:。，；：、"))
    return text[:end] if not text[end:].startswith("...") else text[: end + 3]


def _boxes(text: str) -> tuple[list[slice], int]:
    """Where the contents of the complete boxes stand, in the order they close, and where the first open box begins."""
    complete: list[slice] = []
    braces: list[tuple[int, int | None]] = []  # where the content starts, and where its box begins if it is a box's
    tokens = iter(_TOKEN.finditer(text))
    for token in tokens:
        if token[0].startswith(("\\boxed", "\\fbox")):
            if text.startswith("{", token.end()):
                next(tokens)  # the brace itself
                braces.append((token.end() + 1, token.start()))
            elif bare := _BARE.match(text, token.end()):
                complete.append(slice(bare.start(), bare.end()))
        elif token[0] == "{":
            braces.append((token.end(), None))
        elif token[0] == "}" and braces:
            start, box = braces.pop()
            if box is not None:
                complete.append(slice(start, token.start()))
    return complete, min((box for _, box in braces if box is not None), default=len(text))


def _claim(text: str, opened: int) -> str:
    """What follows a phrase, up to the end of its sentence; nothing if there is a box in it that is open or empty."""
    start = len(text) - len(text.lstrip(" \t*:：\r\n"))
    displayed = _DISPLAY.match(text)
    end = _SENTENCE_END.search(text, displayed.end() if displayed else start)
    stop = end.start() if end else len(text)
    if stop > min(opened, MAX_PHRASE) or _EMPTY_BOX.search(text, start, stop):
        return ""
    return tidy(text[start:stop])


def _closing(text: str, opening: int) -> int:
    """Where the brace at `opening` is closed, or -1."""
    depth = 0
    for token in re.finditer(r"\\.|[{}]", text[opening:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return opening + token.start()
    return -1
