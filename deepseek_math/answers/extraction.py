r"""The answer that a completion states: the last complete `\boxed{...}`, else what follows "The answer is".

    >>> extract(r"So $x = \boxed{\frac{1}{2}}$.")
    Answer(text='\\frac{1}{2}', source='boxed')

Covers: nested and escaped braces, `\fbox`, `\boxed 5`, adjacent boxes (`\boxed{1}` or `\boxed{2}` are one list),
English and Chinese phrases, headings, `#### 18`, and the markup around an answer (`$`, `\text{}`, bold stars), which is
taken off.
Does not cover: whether the answer is right, or equal to another one (see `equality`).

Only the model's own prose states an answer: a program's source and output do not count. The published scripts fall
back on the last output where there is no box and no phrase; here such a completion has no answer.

Fails closed: a box that was never closed holds no answer, for half an answer is often another answer (`\boxed{1` of
`\boxed{12}`). Claims before it count only if they are complete themselves. Time is linear in the text's length.
"""

import re
from dataclasses import dataclass
from typing import Literal

from deepseek_math.fences import prose

MAX_PHRASE = 500  # characters after "The answer is": what is longer is an explanation
LAYERS = 8  # layers of markup taken off an answer at most, so that a tower of `\text{\text{` costs no more
MAX_BOXES = 20  # adjacent ones that are one list
MAX_GAP = 60  # characters between two adjacent boxes

_TOKEN = re.compile(r"\\{1,2}(?:boxed|fbox|framebox)(?![A-Za-z])\s*(?:\[[^\]{}]{0,20}\])?|\\.|[{}]", re.DOTALL)
_BARE = re.compile(
    r"""(?x) (?: [-+]?\d{1,30}(?:[./]\d{1,30})?%? | [A-Za-z] | -?\\[dtc]?frac(?:\s?\d\s?\d|(?:\{[^{}]{1,60}\}){2})
    | -?\d{0,9}\\sqrt(?:\s?\d{1,9}|\{[^{}]{1,60}\}) | -?\d{0,9}\\(?:pi|infty|emptyset) | \\text\w{0,5}\{[^{}]{1,60}\} )
    (?=[\s$.,;。，；)\\]|$)"""
)
_BE = r"(?: is | are | was | equals | (?: must | should | would | will | has \s to ) \s be )"
_ADVERBS = r"(?: [\s*]{0,9} (?: therefore|thus|then|hence|simply|just|indeed|equal\sto|given\sby ) \b ,? ){0,3}"
_HEADING = r"(?: the \s )? (?: final \s )?"
_BE_IN_CHINESE = "(?: 应该是|应是|应为|就是|是|为|等于 )"
_FORMULA = r"(?: \\[A-Za-z]+ | \\[$%] | [^A-Za-z\\\n\u4e00-\u9fff] | \b[A-Z]\b ){1,80} $"
_PHRASE = re.compile(
    rf"""(?imx)
    (?: \b (?: the|final|correct|our|my ) \s{{1,9}} (?: (?: final|correct ) \s{{1,9}} )?
        (?: answers? | (?<=correct\s) (?: option|choice ) ) | ^ \s{{0,9}} answers? )
        (?: \s{{1,9}} to \s [^.\n\\$]{{1,60}}? )? \s{{0,9}} (?: \b {_BE} \b {_ADVERBS} | [:=] ) [\s*]{{0,9}} :?
    | ^ \s{{0,9}} [*#]{{0,6}} \s? {_HEADING} (?: answer | ans\b\.? ) \s? [*]{{0,2}} \s? [:=] [*]{{0,2}}
    | ^ \s{{0,9}} (?: \#{{1,6}} \s? [*]{{0,2}} | [*]{{2}} ) {_HEADING} answer \s? :? [*]{{0,2}} \s* \n
    | <answer>
    | ^ \s{{0,9}} \#{{4}} (?= {_FORMULA} ) (?! \s* \d+ [.:] \s* $ )
    | (?: 最终|最后|正确 )? (?: 的 )? 答案 \s? (?: {_BE_IN_CHINESE} | 应?选 (?!项) | (?=[】\]:：]) ) [】\]]? \s? [:：]?
    | (?: 正确 )? (?: 的 )? 选项 \s? (?: {_BE_IN_CHINESE} | [:：] )
    | (?: ^ | [\s。] ) 答 \s? [:：]
    | (?: ^ \s{{0,9}} | (?: 故|所以|因此|应|本题 ) [，,]? ) 选 (?: 择 )? \s? [:：]?
    """
)
_SUBJECT = re.compile(r"(?i)the\s[^.=]{1,80}?\s(?:is|are|equals)\s(?!even|odd|a\s|an\s|not\s)")  # The largest n is 34
_DISPLAY = re.compile(
    r"\s*(?:\$\$[^$]{1,500}\$\$|\$[^$]{1,500}\$|\\\[(?:[^\\]|\\[^\]]){1,500}\\\]|\\\((?:[^\\]|\\[^)]){1,500}\\\))"
)
_SENTENCE_END = re.compile(
    r"""(?x) \n | [。！？．] | (?<!i\.e)(?<!e\.g) [.?] (?=[\s*"”'<]|$) | </ | <[|｜] | \s (?: since|because ) \b | $
    | [,，;；] \s* (?: (?: since|because|so|as|which|where|hence|thus|therefore|in\stotal|making|giving|meaning|with
        | and \s (?: we|so|this|that|it|the|thus|hence ) ) \b | 因为 | 所以 | 故 )"""
)
_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textrm|textit|textnormal|mbox|mathrm|mathbf(?!\s*\{[RZNQ]\})|underline)\s*(?=\{)"
)
_IGNORED = re.compile(
    r"""(?x) (?<!\\)\$ | (?<!\\)\\[()\[\]]
    | (?<!\\)\\(?: displaystyle|(?:left|right)(?:\s*\.)?|large|Large|LARGE|huge|Huge|small )(?![A-Za-z])
    | (?<!\\)\\(?: color|textcolor|tag|label )\*?\{[^{}]{0,40}\}
    | (?<!\\)\\(?: begin|end )\{(?: aligned|align|gathered|split|equation )\*?\}
    | </s> | <\|[a-z_]{1,30}\|> | <｜[^｜<>]{1,30}｜>"""
)
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}")
_TEXT = re.compile(r"(?P<glued>(?<=[\w})]))?\\(?:text|textrm|textnormal|mbox)\s*\{(?P<words>[^{}\\$]*)\}")
_SPACING = re.compile(r"\$|\\[()\[\],;:! ]|\\q?quad(?![A-Za-z])|~|[{}]|\\(?:text|mbox|textrm)(?![A-Za-z])")
_NAME = r"(?P<name>[A-Za-z](?:_\d)?\s*=)?\s*"
_JOINT = re.compile(rf"(?:[^\S\n]*|\s*(?:[,;，；、]\s*(?:and|or)?|and|or|[和或及]),?\s*){_NAME}")
_NAMED = re.compile(rf"{_NAME}$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion says its answer is, as a person would write it down, and which rule found it."""

    text: str | None
    source: Literal["boxed", "phrase"] | None


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a box and its content stand."""

    start: int
    end: int
    content: slice


def extract(text: str) -> Answer:
    """The last complete box, with those right before it, else the last complete claim, else nothing."""
    text = prose(text)
    boxes, opened = _boxes(text)
    for at in reversed(range(len(boxes))):
        answer, _ = _boxed(text, boxes[: at + 1])
        if answer:
            return Answer(answer, "boxed")
    claim = _last_claim(text, opened)
    return Answer(claim, "phrase") if claim else Answer(None, None)


def boxed_answers(text: str) -> list[str]:
    """What its boxes say, in order: joined ones as one list, and none of those that are empty or inside another."""
    text = prose(text)
    left = _outermost(_boxes(text)[0])
    answers = []
    while left:
        answer, taken = _boxed(text, left)
        if answer:
            answers.append(answer)
        del left[-taken:]
    return answers[::-1]


def claimed(text: str) -> str | None:
    """What the text says in words that its answer is, with or without a box around it."""
    text = prose(text)
    return _last_claim(text, _boxes(text)[1])


def tidy(content: str) -> str:
    r"""The answer without its markup: `$`, `\(`, `\text{}`, sizes, colours, bold stars, a full stop."""
    text = re.sub(r",\s*(?:\\[!,;]\s*)+(?=\d{3}(?!\d))|\\(?:text|mbox)\{,\}(?=\d{3}(?!\d))", "{,}", content)
    text = re.sub(r"\\left\s*\\\{(?=\s*\\begin)(.{0,500}?)\\right\s*\.", r"\1", text)
    text = _IGNORED.sub("", text)
    text = _TEXT.sub(lambda found: (" " if found["glued"] is not None else "") + found["words"], text)
    text = re.sub(r"(?<!\\)\\!", "", text)
    text = re.sub(r"(?<!\\)\\[,;: ]|(?<!\\)~", " ", text)
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


def _boxes(text: str) -> tuple[list[_Box], int]:
    """The complete boxes, in the order they close, and where the first open box begins."""
    complete: list[_Box] = []
    braces: list[tuple[int, int | None]] = []  # where the content starts, and where its box begins if it is a box's
    tokens = iter(_TOKEN.finditer(text))
    for token in tokens:
        if token[0].lstrip("\\").startswith(("boxed", "fbox", "framebox")):
            if text.startswith("{", token.end()):
                next(tokens)  # the brace itself
                braces.append((token.end() + 1, token.start()))
            elif bare := _BARE.match(text, token.end()):
                complete.append(_Box(token.start(), bare.end(), slice(bare.start(), bare.end())))
        elif token[0] == "{":
            braces.append((token.end(), None))
        elif token[0] == "}" and braces:
            start, box = braces.pop()
            if box is not None:
                complete.append(_Box(box, token.end(), slice(start, token.start())))
    return complete, min((box for _, box in braces if box is not None), default=len(text))


def _outermost(boxes: list[_Box]) -> list[_Box]:
    found: list[_Box] = []
    for box in reversed(boxes):
        if not found or box.end <= found[-1].start:
            found.append(box)
    return found[::-1]


def _boxed(text: str, boxes: list[_Box]) -> tuple[str, int]:
    r"""What the last of these boxes says, with those that it is joined to: `\boxed{-2} and \boxed{1}`.

    And how many boxes that takes: 1 or more.
    """
    answer = _inside(text, boxes[-1])
    if not answer:
        return "", 1
    name, answers = "", [answer]
    later = boxes[-1]
    for box in reversed(boxes[-MAX_BOXES:-1]):
        if not 0 <= later.start - box.end <= MAX_GAP:
            break
        joint = _JOINT.fullmatch(_SPACING.sub(" ", text[box.end : later.start]))
        if joint is None or not (answer := _inside(text, box)):
            break
        name = joint["name"] or name
        answers[0] = (joint["name"] or "") + answers[0]
        answers.insert(0, answer)
        later = box
    if name and (before := _NAMED.search(text[max(0, later.start - 20) : later.start])) and before["name"]:
        answers[0] = before["name"] + answers[0]
    return ", ".join(dict.fromkeys(answers)), len(answers)


def _inside(text: str, box: _Box) -> str:
    r"""The content of a box; `\boxed{\text{The answer is } 5}` says 5."""
    answer = tidy(text[box.content])
    phrase = _PHRASE.match(answer) or _SUBJECT.match(answer)
    return (phrase and tidy(answer[phrase.end() :])) or answer


def _claim(text: str, opened: int) -> str:
    """What follows a phrase, up to the end of its sentence; nothing if there is a box in it that is open or empty."""
    start = len(text) - len(text.lstrip(" \t*:：\r\n"))
    displayed = _DISPLAY.match(text)
    end = _SENTENCE_END.search(text, displayed.end() if displayed else start)
    stop = end.start() if end else len(text)
    if stop > min(opened, MAX_PHRASE) or _EMPTY_BOX.search(text, start, stop):
        return ""
    answer = tidy(text[start:stop])
    subject = _SUBJECT.match(answer)
    return (subject and tidy(answer[subject.end() :])) or answer


def _last_claim(text: str, opened: int) -> str | None:
    """The last complete claim; the first open box begins at `opened`."""
    end = len(text)
    for phrase in reversed(list(_PHRASE.finditer(text))):
        if answer := _claim(text[phrase.end() : min(end, phrase.end() + MAX_PHRASE + 1)], opened - phrase.end()):
            return answer
        end = phrase.start()
    return None


def _closing(text: str, opening: int) -> int:
    """Where the brace at `opening` is closed, or -1."""
    depth = 0
    for token in re.finditer(r"\\.|[{}]", text[opening:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return opening + token.start()
    return -1
