"""The process that renders chat templates: one line of JSON each way. `chat_template.py` starts it and says why.

    {"template": "{{ messages[0].content }}", "variables": {"messages": [{"content": "2+3?"}]}}  ->  {"text": "2+3?"}

Its argument is the processor time that one template may use, in seconds. Then the kernel ends it, which no template can
prevent or delay. It ends by itself when its input is closed.
"""

import json
import resource
import signal
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY_BYTES = 1 << 30  # of address space
ERROR_CHARACTERS = 300  # that are shown of an error
TEXT_CHARACTERS = 4 << 20  # of one prompt: many times what a context holds


@lru_cache(maxsize=4)
def compiled(template: str) -> Template:
    """The settings that chat templates are written for (transformers' `apply_chat_template`)."""

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def answer(request: dict[str, Any]) -> dict[str, str]:
    """The text, or the error: a template is a program that came with the checkpoint and may raise anything."""
    try:
        text = compiled(request["template"]).render(**request["variables"])
        text.encode()  # half a UTF-16 pair is not text, and no tokenizer takes it
    except MemoryError:
        return {"error": f"it needs more than {MEMORY_BYTES >> 20} MiB of memory"}
    except Exception as error:
        return {"error": str(error)[:ERROR_CHARACTERS]}
    if len(text) > TEXT_CHARACTERS:
        return {"error": f"it makes a prompt of {len(text)} characters"}
    return {"text": text}


def main() -> None:
    cpu_seconds = float(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service ends it
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        said = json.dumps(answer(json.loads(line)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(said, flush=True)


if __name__ == "__main__":
    main()
