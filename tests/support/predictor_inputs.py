"""The tables of inputs of the Predictors in `predictors/`."""

from dataclasses import replace

from deepseek_math.inputs import BY_NAME, InputField

COUNTING = (
    InputField("name", "str", "Stands in every chunk."),
    InputField("chunks", "int", "How many.", default=10),
    InputField("pause", "float", "Seconds before each chunk.", default=0.05),
    InputField("fail_at", "int", "The chunk that raises; -1 for none.", default=-1),
    InputField("cleanup", "float", "Seconds that the cleanup takes.", default=0.0),
    InputField("late_start", "float", "Seconds before the stream exists.", default=0.0),
    InputField("loses_a_cancel", "bool", "Whether the first cancel is not heard.", default=False),
)
EXAM = tuple(
    BY_NAME[name]
    for name in (
        "prompt",
        "mode",
        "max_new_tokens",
        "temperature",
        "stop",
        "seed",
        "samples",
        "tool_loop",
        "max_tokens",
        "max_completion_tokens",
        "max_tool_rounds",
    )
)
EXAM_WITHOUT_TOOL = tuple(
    replace(field, choices=("auto", "chat", "cot", "raw")) if field.name == "mode" else field for field in EXAM
)
EXAM_WITHOUT_ROUNDS = EXAM[:-1]
SLOW_SETUP = (InputField("text", "str", "Comes back.", default=""),)
