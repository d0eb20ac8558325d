"""llama.cpp's chunks, read as far as they are used.

A chunk says everything twice: in OpenAI's form, and under `__verbose` in llama.cpp's own, which has the counts too. Of
all but a request's last chunk the second is enough, which is half of the JSON.
"""

import json
from typing import Any

GOES_ON = '"finish_reason":null'  # NOTE: within a text JSON has its quotes escaped, so that it can't be mistaken
VERBOSE = '"__verbose":'
_decoder = json.JSONDecoder()


def read_chunk(data: bytes) -> dict[str, Any]:
    """The chunk, in OpenAI's form and with `__verbose`; less what is not used here."""
    text = data.decode()
    start = text.find(VERBOSE)
    if start < 0 or GOES_ON not in text:  # the last chunk, or an error
        whole: dict[str, Any] = json.loads(text)
        return whole
    verbose, _ = _decoder.raw_decode(text, start + len(VERBOSE))
    drawn = {"content": verbose.get("completion_probabilities", ())}
    return {"choices": [{"text": verbose["content"], "finish_reason": None, "logprobs": drawn}], "__verbose": verbose}
