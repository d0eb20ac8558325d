"""Texts that were changed on their way here: an escape that ate a LaTeX command, a file that came as an address.

What can be put right without a guess is, and the prediction's log says so. What else is found is refused with its place
and the right spelling, before any work. docs/inputs.md, "Garbled text", has the decisions.
"""

import base64
import html
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_plus, unquote_to_bytes

from deepseek_math.errors import ServiceError

log = logging.getLogger(__name__)

DATA_URL = re.compile(r"\s*data:(?=[\w.+-]+/|;base64,)([^,]*),(\S*)\s*")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# Nothing can be seen of them, and each is a token to the model: they come with what is copied from web pages and PDFs.
# Not among them are the joiners U+200C and U+200D, which change how other scripts and emoji look.
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

LETTERS = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r"}  # of the escapes
NAMES = {"\0": "NUL", "\a": "bell", "\b": "backspace", "\t": "tab", "\n": "line break", "\v": "vertical tab"}
NAMES |= {"\f": "form feed", "\r": "carriage return", "\x1b": "escape"}
# A tab or line break, and what is left of a LaTeX command whose first letter went into it. None begins a word.
EATEN = (
    r"\t(?:imes|heta|ext(?:bf|it|rm)?\{|frac[{\d]|riangle|ilde\{|herefore|anh?[(^\\{])"
    r"|\r(?:ight|ho\b|angle\b|floor\b|ceil\b)"
    r"|(?<=[ $])\n(?:eq[ {](?!\d+[:.)])|abla\b|otin\b|mid\b|eg[ {])"
)
# All LaTeX commands that begin with n: any other `\n` is a line break that was typed as two characters.
N_COMMANDS = (
    "abla|atural|cong|e|earrow|eg|egthinspace|eq|ewcommand|ewline|ewpage|exists|geq|geqq|geqslant|gtr|i|"
    "leftarrow|Leftarrow|leftrightarrow|Leftrightarrow|leq|leqq|leqslant|less|mid|oalign|obreak|oindent|"
    "olimits|onumber|ormalsize|ot|otag|otin|parallel|prec|preceq|rightarrow|Rightarrow|shortmid|sim|"
    "subseteq|succ|succeq|supseteq|triangleleft|trianglelefteq|triangleright|u|vdash|vDash|Vdash|VDash|"
    "warrow"
)
MANGLED = "cp1252", "latin-1"  # what UTF-8 is read as by mistake
# What its bytes over 127 become then, of signs that mathematics uses: they begin with one of these letters. A quotation
# mark behind one is a word's end, and 2×½ is what it says, though both could be UTF-8.
LATIN = (
    "[\xc2\xc3\xe2\xce\xcf](?![\u2018-\u201d\xbb])[\x80-\xff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022"
    "\u2026\u2030\u2039\u203a\u20ac\u2122]+"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A pattern, and what to say of a match: what it is, and the right spelling; None where it is none."""

    pattern: re.Pattern[str]
    says: Callable[[re.Match[str]], tuple[str, str] | None]


def as_meant(name: str, text: str) -> str:
    """The text of the input `name` without what a client or a web page has put around or into it.

    Raises ServiceError("text_garbled").
    """
    text, removed = INVISIBLE.subn("", _unwrapped(name, text))
    if removed:
        log.info("%s: %d invisible characters were left out", name, removed)
    for fault in FAULTS:
        for found in fault.pattern.finditer(text):
            said = fault.says(found)
            if said:
                whole = found.span() == (0, len(text))
                raise _garbled(name, said[0], None if whole else found.start(), said[1])
    return text


def one_line(name: str, text: str) -> str:
    """An answer without the blanks around it. A tab or line break in it is what an escape has left of a command.

    Raises ServiceError("text_garbled").
    """
    answer = text.strip()
    found = re.search(r"\A\s*[\t\n\r](?=[A-Za-z])", text) or re.search(r"[\t\n\r]", answer)
    if found:
        letter = found[0][-1]
        advice = f"An answer is one line. An escape may have eaten a LaTeX command. {_double(LETTERS[letter] + '...')}"
        raise _garbled(name, f"a {NAMES[letter]}", text.index(letter), advice)
    return answer


def _garbled(name: str, what: str, place: int | None, advice: str) -> ServiceError:
    """`place` counts from 0; None is the whole text."""
    where = "" if place is None else f" at character {place + 1}"
    return ServiceError("text_garbled", f"{name} holds {what}{where}. {advice}")


def _unwrapped(name: str, text: str) -> str:
    """The content of a data: URL, as which `cog run -i prompt=@problem.txt` and Replicate's clients send a file."""
    found = DATA_URL.fullmatch(text)
    if not found:
        return text
    try:
        content = unquote_to_bytes(found[2])
        if found[1].endswith(";base64"):
            content = base64.b64decode(content, validate=True)
        decoded = content.decode("utf-16" if content.startswith(UTF16_MARKS) else "utf-8")
    except ValueError:
        decoded = "\0"
    if "\0" in decoded:
        kind = found[1].partition(";")[0] or "data"
        raise ServiceError(
            "text_garbled", f"{name} is a file ({kind}) that holds no text in UTF-8. Send the text itself."
        )
    log.info("%s: a file that came as a data: URL was decoded, %d characters", name, len(decoded))
    return decoded


def _double(command: str) -> str:
    return (
        rf'In JSON and in an ordinary Python string a backslash is written twice: "\\{command}"; Python also has '
        rf'r"\{command}".'
    )


def _control(found: re.Match[str]) -> tuple[str, str]:
    """Also a tab or line break that ate the first letter of a command."""
    letter = found[0][0]
    name = NAMES.get(letter, "control character")
    what = f"a {name} (U+{ord(letter):04X})"
    rest = re.compile("[A-Za-z]*").match(found.string, found.start() + 1)
    if letter in LETTERS and rest and rest[0]:
        command = LETTERS[letter] + rest[0]
        return (
            f'{what} before "{rest[0]}"',
            rf"\{command} was meant, and \{command[0]} was read as an escape. {_double(command)}",
        )
    return what, "No text of mathematics holds one. Remove it."


def _lost(found: re.Match[str]) -> tuple[str, str]:
    return "U+FFFD", "It stands for a character that was lost on the way. Send the text in UTF-8."


def _mangled(found: re.Match[str]) -> tuple[str, str] | None:
    """UTF-8 that was read as Latin-1 or Windows-1252; hardly a text is both."""
    for encoding in MANGLED:
        try:
            meant = found[0].encode(encoding).decode()
        except UnicodeError:
            continue
        return repr(found[0]), f"{meant!r} was meant: its UTF-8 was read as another encoding. Send the text in UTF-8."
    return None


def _entity(found: re.Match[str]) -> tuple[str, str] | None:
    meant = html.unescape(found[0])
    return None if meant == found[0] else (f"the HTML entity {found[0]}", f"Send the character itself: {meant!r}.")


def _typed_break(found: re.Match[str]) -> tuple[str, str] | None:
    """Only in a text without any line break: in others it is more likely to be a program's."""
    if "\n" in found.string:
        return None
    return r"the two characters \n", (
        r'Send a line break: press Enter in a form, write "\n" once in JSON, and in a shell use $' + r"'...\n...'."
    )


def _typed_character(found: re.Match[str]) -> tuple[str, str]:
    meant = chr(int(found[0][2:], 16))
    return f"the six characters {found[0]}", f"Send the character itself: {meant!r}."


def _encoded(found: re.Match[str]) -> tuple[str, str] | None:
    meant = unquote_plus(found[0])
    return ("a text in the encoding of addresses", f"Send it as it is: {meant[:80]!r}.") if " " in meant else None


def _address(found: re.Match[str]) -> tuple[str, str]:
    return "nothing but an address", "It is not opened. Send the text that is there."


def _file(found: re.Match[str]) -> tuple[str, str]:
    name = found[0].strip()[1:]
    return f"nothing but the name of a file, {found[0].strip()}", f'It is not opened. In a shell: "$(cat {name})".'


FAULTS = tuple(
    Fault(re.compile(pattern), says)
    for pattern, says in (
        (LATIN, _mangled),
        (r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]", _control),
        (EATEN, _control),
        ("\ufffd", _lost),
        (r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});", _entity),
        (rf"""(?<!\\)\\n(?!(?:{N_COMMANDS})(?![A-Za-z])|["'`])""", _typed_break),
        (r"(?<!\\)\\u[0-9A-Fa-f]{4}", _typed_character),
        (r"\A(?=.*%[0-9A-F]{2}.*%[0-9A-F]{2})\S+\Z", _encoded),
        (r"\A\s*https?://\S+\s*\Z", _address),
        (r"\A\s*@[\w./~-]+\.\w+\s*\Z", _file),
    )
)
