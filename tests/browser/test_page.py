"""The page in a real Chromium: what a reader sees, hears, copies and keeps. PICTURES names a folder for pictures."""

import json
import os
import threading
import time
from pathlib import Path

import httpx
import pytest

from deepseek_math.inputs import OWN_INPUTS
from deepseek_math.page.form import BY_THE_PAGE
from deepseek_math.page.llama_page import files
from deepseek_math.page.site import POLICY
from tests.browser.browser import Browser
from tests.browser.conftest import Scripted
from tests.page.texts import TEXTS, MathText, normal

KEPT = "deepseek_math.conversations"
BUSY = ".solution[aria-busy=true]"


def fresh(browser: Browser, url: str, fragment: str = "") -> None:
    """The page, with nothing kept of another test."""
    browser.size(900, 1000)
    browser.open("about:blank")
    browser.open(url)
    browser.run("localStorage.clear()")
    browser.open("about:blank")  # or a fragment alone would load nothing
    browser.open(url + fragment)
    assert browser.until(lambda: browser.count("[name=mode]") == 1)
    browser.messages()


def ask(browser: Browser, question: str) -> None:
    browser.type("#prompt", question)
    browser.click("#solve")


def wait_for_end(browser: Browser) -> None:
    assert browser.until(lambda: browser.shows("#solve") and browser.count("article") > 0)


def arrived(browser: Browser) -> str:
    """The text so far, as it is copied."""
    return str(browser.run("document.querySelector('.copy').click(); return window.copied ?? ''"))


def picture(browser: Browser, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        browser.run("return document.fonts.ready.then(() => true)")
        browser.picture(Path(folder) / f"{name}.png")


# A real service


def test_a_question_is_answered_with_its_mathematics_set(browser: Browser, demo_site: str) -> None:
    fresh(browser, demo_site)
    assert "tiny checkpoint" in browser.text("#tiny")
    assert "make chat CHECKPOINT=rl" in browser.text("#tiny")
    browser.type("#prompt", "What is $12 + 30$?")
    browser.press("Control", "Enter")
    assert browser.until(lambda: browser.shows(".answer"))
    assert browser.count(".question math") == 1
    assert browser.count(".solution .box") == 1
    assert normal(browser.text(".found")) == "Answer 42 from the box"
    assert browser.text("#status") == "Solved. The answer is 42."
    browser.type("[name=mine]", r"\frac{84}{2}")
    browser.press("Enter")
    assert browser.until(lambda: browser.text("output") == "The same.")
    assert not browser.shows(".metrics table")
    browser.click(".metrics summary")
    assert "completion_tokens" in browser.text(".metrics")
    assert browser.messages() == []
    picture(browser, "answer")


def test_a_vote_is_bars_that_move(browser: Browser, demo_site: str) -> None:
    fresh(browser, demo_site)
    browser.type("[name=samples]", "16")
    browser.type("[name=temperature]", "1.5")
    browser.type("[name=seed]", "1")
    browser.run(
        "window.seen = []; new MutationObserver(() => seen.push(document.querySelector('.vote p').textContent))"
        ".observe(document.querySelector('#turns'), {subtree: true, childList: true, characterData: true})"
    )
    ask(browser, "Compute 48 / 2 + 48.")
    wait_for_end(browser)
    assert browser.shows(".answer"), browser.text(".refused")
    assert len(set(browser.run("return seen"))) > 2
    counts = browser.run("return [...document.querySelectorAll('.vote li > :last-child')].map(e => +e.textContent)")
    widths = browser.run("return [...document.querySelectorAll('.bar')].map(e => e.style.getPropertyValue('--share'))")
    assert counts == sorted(counts, reverse=True)
    assert [float(width.rstrip("%")) for width in widths] == [100 * count / 16 for count in counts]
    assert "of the samples agree" in browser.text(".found")
    picture(browser, "vote")


def test_programs_are_numbered_cards_and_their_outputs_too(browser: Browser, demo_site: str) -> None:
    fresh(browser, demo_site)
    browser.run("document.querySelector('[name=mode]').value = 'tool'")
    ask(browser, "What is 123 * 45?")
    wait_for_end(browser)
    assert browser.text(".program > p") == "Program 1", browser.text("article")
    assert browser.text(".output > p") == "Output of program 1"
    picture(browser, "program")


def test_a_link_repeats_prompt_and_seed(browser: Browser, demo_site: str) -> None:
    fresh(browser, demo_site)
    browser.type("[name=temperature]", "1.5")
    ask(browser, "Compute 7 * 8 & 100 % of $x$.")
    wait_for_end(browser)
    first = browser.text(".solution")
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.click(".link")
    fresh(browser, demo_site, browser.run("return copied").removeprefix(demo_site))
    assert browser.run("return document.querySelector('#prompt').value") == "Compute 7 * 8 & 100 % of $x$."
    assert browser.count("article") == 0  # a link asks nothing by itself
    browser.click("#solve")
    wait_for_end(browser)
    assert browser.text(".solution") == first


def test_a_refusal_is_its_sentence(browser: Browser, demo_site: str) -> None:
    fresh(browser, demo_site)
    browser.click("#more summary")
    browser.type("[name=top_p]", "0")
    ask(browser, "What is 1 + 1?")
    wait_for_end(browser)
    assert browser.text(".refused") == "top_p is 0. Use a number over 0 and at most 1."
    assert browser.run("return document.querySelector('#prompt').value") == "What is 1 + 1?"  # to ask again


def test_every_input_of_the_schema_has_its_field_with_its_bounds(browser: Browser, demo_site: str) -> None:
    fresh(browser, demo_site)
    for field in OWN_INPUTS:
        if field.name in BY_THE_PAGE:
            continue
        bounds = browser.run(
            "const field = document.querySelector(`#ask [name=${arguments[0]}]`);"
            "return [field.min ?? '', field.max ?? '', field.options ? [...field.options].map(o => o.value) : []]",
            field.name,
        )
        low, high = ("" if limit is None else f"{limit:g}" for limit in (field.minimum, field.highest))
        assert float(bounds[0] or "nan") == pytest.approx(float(low or "nan"), nan_ok=True), field.name
        assert float(bounds[1] or "nan") == pytest.approx(float(high or "nan"), rel=1e-5, nan_ok=True), field.name
        assert tuple(bounds[2]) == field.choices


def test_who_leaves_frees_the_engine(demo_site: str) -> None:
    def running() -> float:
        lines = httpx.get(f"{demo_site}metrics", trust_env=False).text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("deepseek_math_running ")))

    vote = {"prompt": "Compute 48 / 2 + 48.", "samples": 64, "temperature": 2, "max_new_tokens": 2048}
    with httpx.stream("POST", f"{demo_site}page/solve", json=vote, timeout=60, trust_env=False) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["event"] == "question"
        assert json.loads(next(lines))["event"] == "vote"
        assert running() > 0
    deadline = time.monotonic() + 60
    while running() > 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running() == 0


# What a test wants said


@pytest.mark.parametrize("width", [900, 360])
def test_all_texts_are_right_in_the_browser_and_make_no_page_wider(
    browser: Browser, script: Scripted, site: str, width: int
) -> None:
    for dark, first in enumerate(range(0, len(TEXTS), 20)):
        fresh(browser, site)
        texts = TEXTS[first : first + 20]
        script.pieces = ["\n\n".join(text.text for text in texts)]
        browser.size(width, 1900, dark=dark % 2 == 1)
        ask(browser, "Say them.")
        wait_for_end(browser)
        shown = normal(browser.text(".solution"))
        for text in texts:
            for plain in text.plain:
                assert normal(plain).replace("$$", "") in shown.replace("$$", ""), text.name
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.count("svg, script:not([type=module]), img, merror") == 0
        assert browser.messages() == []
        browser.run("scrollTo(0, 0)")
        picture(browser, f"texts-{width}-{first}")


@pytest.mark.parametrize("text", [text for text in TEXTS if text.pieces], ids=lambda text: text.name)
def test_a_solution_grows_as_it_arrives(browser: Browser, script: Scripted, site: str, text: MathText) -> None:
    script.pieces, script.go = list(text.pieces), threading.Semaphore(0)
    fresh(browser, site)
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    ask(browser, "Go on.")
    for count in range(1, len(text.pieces) + 1):
        script.go.release()
        begun = "".join(text.pieces[:count])
        assert browser.until(lambda: arrived(browser) == begun), begun  # noqa: B023
        assert browser.count("merror") == 0
    wait_for_end(browser)
    assert browser.count(".solution math") == len(text.formulas)
    assert browser.count(".solution .source") == (text.name == "m051")


def test_stop_ends_the_work_and_keeps_what_came(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces, script.go = ["So $x = 1$. ", "never"], threading.Semaphore(1)
    fresh(browser, site)
    ask(browser, "Begin.")
    assert browser.until(lambda: browser.count(".solution math") == 1)
    assert browser.run("return document.activeElement.id") == "stop"
    browser.press("Escape")
    wait_for_end(browser)
    assert browser.until(lambda: script.left == 1)
    assert browser.text(".refused") == "Stopped."
    assert browser.count(".solution math") == 1
    assert browser.shows(".copy")


def test_earlier_turns_are_sent_and_can_be_left_out(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces = ["Seven."]
    fresh(browser, site)
    for question in ("First?", "Second?"):
        ask(browser, question)
        wait_for_end(browser)
    assert "messages" not in script.asked[0]
    turns = [{"role": "user", "content": "First?"}, {"role": "assistant", "content": "Seven."}]
    assert script.asked[1]["messages"] == turns
    browser.click("#follow input")
    ask(browser, "Third?")
    wait_for_end(browser)
    assert "messages" not in script.asked[2]
    browser.click("#new")
    assert browser.count("article") == 0


def test_a_conversation_is_kept_and_forgotten_in_the_browser(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces = [r"So $x = 1$ and \boxed{1}."]
    script.metrics = {"answer": "1", "answer_source": "boxed", "doubts": ["contradicts"]}
    fresh(browser, site)
    ask(browser, "What is <b>x</b>?")
    wait_for_end(browser)
    before = [browser.text(part) for part in (".question", ".solution", ".answer", ".doubts")]
    browser.open("about:blank")
    browser.open(site)
    assert browser.until(lambda: browser.count("#history li") == 1)
    browser.click("#history summary")
    browser.click("#history li button")
    assert browser.until(lambda: browser.shows(".answer"))
    assert [browser.text(part) for part in (".question", ".solution", ".answer", ".doubts")] == before
    browser.click("#forget")
    assert browser.count("#history li") == 0
    assert browser.run("return localStorage.length") == 0


def test_what_is_copied_has_formulas_as_latex(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces = [r"Since $\frac{1}{2} < x$ we have \[ x = 1 \] at once."]
    fresh(browser, site)
    ask(browser, "Copy.")
    wait_for_end(browser)
    copied = browser.run(
        "getSelection().selectAllChildren(document.querySelector('.solution'));"
        "const data = new DataTransfer();"
        "document.dispatchEvent(new ClipboardEvent('copy', {clipboardData: data}));"
        "return data.getData('text/plain')"
    )
    assert normal(copied) == normal(script.pieces[0])
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.click(".copy")
    assert browser.run("return copied") == script.pieces[0]


HOSTILE = [
    "<svg onload=alert(1)> <img src=x onerror=alert(2)> <script>alert(3)</script> <iframe onload=alert(4)>",
    r"$\text{<svg onload=alert(5)>}$ $\href{javascript:alert(6)}{x}$ $\style{x}{<img src=x onerror=alert(7)>}$",
    "[a](javascript:alert(8)) [b](JaVaScRiPt:alert(9)) [c](data:text/html,<b>10</b>) <javascript:alert(11)>",
    '![x](https://example.org/x.png "onerror=alert(12)") [d](https://example.org/"onclick=alert(13)) [e](x "$y$")',
    '```"><script>alert(14)</script>\n"><script>alert(15)</script>\n```',
    '$x" onmouseover="alert(16)" y="$ $`"><script>alert(17)</script>`$',
    r"$\newcommand{\a}{\a\a}\a$ $" + r"\sqrt{" * 200 + "1" + "}" * 200 + "$",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_do_nothing(browser: Browser, script: Scripted, site: str, text: str) -> None:
    script.pieces = [text]
    script.metrics = {"answer": text, "answer_source": "phrase", "doubts": [text]}
    fresh(browser, site)
    browser.run("window.alert = () => { window.ran = true }")
    ask(browser, text)
    wait_for_end(browser)
    made = "svg, img, iframe, script:not([type=module]), a:not([href^='https://']), [onload], [onerror], [onmouseover]"
    assert browser.count(f"article :is({made})") == 0
    assert browser.run("return window.ran ?? false") is False
    assert browser.messages() == []


def test_a_megabyte_on_one_line_is_shown(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces = ["x" * 1_000_000]
    fresh(browser, site)
    ask(browser, "Long.")
    wait_for_end(browser)
    assert browser.run("return document.querySelector('.solution').textContent.length") >= 1_000_000
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_nothing_is_loaded_from_another_host(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces = ["So $x$."]
    fresh(browser, site)
    ask(browser, "Load.")
    wait_for_end(browser)
    loaded = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(loaded) >= 5
    assert all(address.startswith((site, "data:")) for address in loaded)
    blocked = "return fetch('https://example.org').then(() => 'loaded', () => 'blocked')"
    assert browser.run(blocked) == "blocked"
    assert "Content Security Policy" in " ".join(browser.messages())


def test_boxes_have_a_border_and_brackets_stretch(browser: Browser, script: Scripted, site: str) -> None:
    script.pieces = [r"$\boxed{5}$ $$\left( \begin{matrix} 1 \\ 2 \\ 3 \\ 4 \end{matrix} \right)$$"]
    fresh(browser, site)
    ask(browser, "Draw.")
    wait_for_end(browser)
    browser.run("return document.fonts.ready.then(() => true)")
    assert browser.run("return getComputedStyle(document.querySelector('.box')).borderTopWidth") != "0px"
    assert browser.run("return document.fonts.check('16px \"Page Math\"')")
    heights = (
        "return ['mo', 'mtable'].map(tag => document.querySelector(`.solution ${tag}`).getBoundingClientRect().height)"
    )
    bracket, matrix = browser.run(heights)
    assert bracket > 0.8 * matrix


def test_all_is_reached_by_keyboard_and_named_for_a_screen_reader(
    browser: Browser, script: Scripted, site: str
) -> None:
    script.pieces = ["```python\nprint(1)\n```\n```output\n1\n```\nSo \\boxed{1}."]
    script.metrics = {"answer": "1", "answer_source": "boxed"}
    fresh(browser, site)
    ask(browser, "Name.")
    wait_for_end(browser)
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]}
    for role, name in [
        ("textbox", "Question"),
        ("button", "Solve"),
        ("button", "Copy as LaTeX"),
        ("region", "Program 1"),
        ("region", "Output of program 1"),
        ("region", "Answer"),
    ]:
        assert (role, name) in named
    controls = {"button", "textbox", "spinbutton", "combobox", "checkbox"}
    assert not [role for role, name in named if role in controls and not name]
    browser.run("document.body.focus(); document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        browser.press("Tab")
        reached.add(browser.run("return document.activeElement.id || document.activeElement.className || '-'"))
    assert {"new", "prompt", "solve", "copy", "link"} <= reached


def test_the_page_of_llama_cpp_talks_to_the_door(browser: Browser, demo_site: str) -> None:
    if not files():
        pytest.skip("this build of xllamacpp has no page")
    browser.size(900, 1000)
    browser.open(f"{demo_site}chat")
    assert browser.until(lambda: browser.count("textarea") == 1)
    browser.type("textarea", "What is 12 + 30?")
    browser.press("Enter")
    assert browser.until(lambda: browser.count(".katex .boxed, .katex .fbox") > 0), browser.text("body")
    picture(browser, "llama-cpp")


# The server alone


def test_the_policy_is_sent_with_every_file(site: str) -> None:
    for path in ("", "page/page.css", "page/page.js", "page/math.ttf", "page/about"):
        answer = httpx.get(site + path, trust_env=False)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == POLICY


def test_another_site_makes_a_browser_send_nothing_here(script: Scripted, site: str) -> None:
    body = json.dumps({"prompt": "What is 1 + 1?"})
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Origin": "https://example.org"},
    ):
        answer = httpx.post(f"{site}page/solve", content=body, headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_the_page")
    assert script.asked == []
