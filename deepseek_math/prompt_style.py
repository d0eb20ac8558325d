"""How a checkpoint wants to be asked: what its row in the table of checkpoints says about prompts."""

from dataclasses import dataclass

# What DeepSeekMath's tokenizer_config.json holds, written out: the same text as the published evaluation's
# "User: {question}\n\nAssistant:" for one turn.
DEEPSEEK_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """Whether the checkpoint is a base model, and the chat template (Jinja) that replaces its own."""

    base: bool = False
    chat_template: str | None = None
