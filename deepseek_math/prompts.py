"""From a request to the exact token ids that the model reads.

The published accuracies depend on this path to the token: the wrong template alone cost a reproduction 18 points
on GSM8K, the missing suffix about 4 points on MATH. Strings and rules are those of DeepSeek-Math's own evaluation
(deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/README.md and evaluation/infer/run_cot_eval.py).

Covers: modes, suffixes, templates, BOS, control tokens. Does not: the context's length (`completion.py`).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deepseek_math.chat_template import TemplateFailed, render
from deepseek_math.engines.protocol import Tokenizer
from deepseek_math.errors import ServiceError
from deepseek_math.few_shot import EXAMPLES, FORMS
from deepseek_math.language import Language, language
from deepseek_math.prompt_style import PromptStyle
from deepseek_math.request import Request

PromptMode = Literal["chat", "cot", "fewshot", "raw", "tool"]

COT_SUFFIX: Mapping[Language, str] = {
    "en": "\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "zh": "\n请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。",
}

TOOL_SUFFIX: Mapping[Language, str] = {
    "en": (
        "\nPlease integrate natural language reasoning with programs to solve the problem above, "
        "and put your final answer within \\boxed{}."
    ),
    "zh": "\n请结合自然语言和Python程序语言来解答问题，并把最终答案放置于\\boxed{}中。",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt as the model gets it: `text` for people, `ids` for the engine."""

    mode: PromptMode
    text: str
    ids: tuple[int, ...]
    stops: tuple[str, ...] = ()  # texts that end the completion of this kind of prompt


async def build(request: Request, style: PromptStyle, tokenizer: Tokenizer) -> Prompt:
    """Renders and tokenises `request`. Raises ServiceError.

    In `raw` and `fewshot` every character is text, the names of control tokens too. In the other modes the template's
    own control tokens act and a request that writes one is refused. One BOS leads, where the checkpoint has one.
    """
    template = style.chat_template or tokenizer.chat_template
    mode = request.mode
    if mode == "auto":
        mode = "raw" if style.base or not template else "cot"
    if mode == "tool" and style.base:
        raise ServiceError(
            "base_has_no_tools",
            "Mode tool asks for a program in words. A base checkpoint was not trained on that: its published results "
            "with programs used few-shot prompts. Use the instruct or rl checkpoint, or mode fewshot.",
        )
    if mode in ("raw", "fewshot") and (request.system_prompt or request.messages):
        raise ServiceError(
            "raw_takes_prompt_only",
            f"This request is sent as one text (mode {mode}; for a base checkpoint auto means raw), so there is no "
            "place for system_prompt or messages. Leave them out, or use mode chat.",
        )
    if mode == "raw":
        return _prompt(mode, request.prompt, await tokenizer.encode(request.prompt, control=False), tokenizer)
    if mode == "fewshot":
        spoken = language(request.prompt)
        form, examples = FORMS[spoken], request.examples or EXAMPLES[spoken]
        text = form.prompt(examples, request.prompt)
        return _prompt(mode, text, await tokenizer.encode(text, control=False), tokenizer, form.stops)
    if not template:
        raise ServiceError(
            "no_chat_template", f"Mode {mode} needs a chat template and the checkpoint has none. Use fewshot or raw."
        )
    await _refuse_control_tokens(request, tokenizer)
    text = await _render(template, request, asked(request.prompt, mode), tokenizer)
    return _prompt(mode, text, await tokenizer.encode(text, control=True), tokenizer)


def asked(prompt: str, mode: str) -> str:
    """The user's turn in `mode`: the prompt, and the published suffix where it does not carry it already."""
    question = prompt.strip()
    if mode == "cot" and "\\boxed" not in question:
        return (question + COT_SUFFIX[language(question)]).strip()
    if mode == "tool":
        suffix = TOOL_SUFFIX[language(question)].strip()
        return question if question.endswith(suffix) else f"{question}\n{suffix}"
    return question


def _prompt(mode: PromptMode, text: str, ids: list[int], tokenizer: Tokenizer, stops: tuple[str, ...] = ()) -> Prompt:
    """One BOS leads, whether or not the template has written it already."""
    if tokenizer.bos is None or ids[:1] == [tokenizer.bos]:
        return Prompt(mode, text, tuple(ids), stops)
    return Prompt(mode, tokenizer.bos_text + text, (tokenizer.bos, *ids), stops)


async def _refuse_control_tokens(request: Request, tokenizer: Tokenizer) -> None:
    """A text that tokenises otherwise once control tokens count holds the name of one."""
    texts = {"prompt": request.prompt, "system_prompt": request.system_prompt}
    texts |= {f"message {number}": turn.content for number, turn in enumerate(request.messages, 1)}
    for name, text in texts.items():
        acting, plain = await tokenizer.encode(text, control=True), await tokenizer.encode(text, control=False)
        if acting != plain:
            raise ServiceError(
                "control_token",
                f"The {name} holds {await _control_token(acting, tokenizer)!r}, a control token of this checkpoint, "
                "which would end or fake a turn. Remove it, or use mode raw, where it is plain text.",
            )


async def _control_token(ids: list[int], tokenizer: Tokenizer) -> str:
    """The name of the first control token among `ids`: the one whose name is several tokens as plain text."""
    for token in ids:
        name = await tokenizer.piece(token)
        if name and await tokenizer.encode(name, control=False) != await tokenizer.encode(name, control=True):
            return name
    return ""


async def _render(template: str, request: Request, question: str, tokenizer: Tokenizer) -> str:
    """An assistant's turn loses its outer spaces: a completion begins with one, and the template writes its own."""
    messages = [{"role": turn.role, "content": turn.content.strip()} for turn in request.messages]
    messages.append({"role": "user", "content": question})
    if request.system_prompt:
        messages.insert(0, {"role": "system", "content": request.system_prompt})
    variables = {
        "messages": messages,
        "bos_token": tokenizer.bos_text,
        "eos_token": tokenizer.eos_text,
        "add_generation_prompt": True,
    }
    try:
        return await asyncio.to_thread(render, template, variables)
    except TemplateFailed as error:
        raise ServiceError("template_failed", f"The checkpoint's chat template failed: {error}.") from error
