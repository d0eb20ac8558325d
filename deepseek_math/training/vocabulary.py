"""Learns the tiny family's tokenizer: single digits, the field's words whole, any other text as bytes.

It is a SentencePiece BPE tokenizer, as Llama's: two neighbours merge when their union is in the vocabulary, the union
that was learnt first wins, and a character that is not in the vocabulary becomes bytes. llama.cpp
("tokenizer.ggml.model": "llama") and the tokenizers library both follow this rule, so both give the same ids.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE

UNKNOWN, BOS, EOS = "<unk>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
SPACE = "▁"
# While the vocabulary is learnt, tokens stay inside these pieces, so no token holds two digits or a line break.
PIECES = rf"{SPACE}?[A-Za-z]+|\\[A-Za-z]+\{{?|[\u4e00-\u9fff]+|```|."
CONTEXT = 4096  # tokens
CONTROL = [UNKNOWN, BOS, EOS, *(f"<0x{byte:02X}>" for byte in range(256))]  # the first tokens of every vocabulary


def grow(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of at most `size` tokens, learnt from `texts`."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", SPACE)
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    alphabet = [chr(code) for code in range(33, 127)] + [SPACE]
    learner.train_from_iterator(
        (line for text in texts for line in text.split("\n")),
        trainers.BpeTrainer(vocab_size=size - len(CONTROL), initial_alphabet=alphabet, show_progress=False),
    )
    learnt = learner.get_vocab()
    return assemble([*CONTROL, *sorted(learnt, key=lambda token: learnt[token])])


def assemble(tokens: list[str]) -> Tokenizer:
    """The tokenizer of a vocabulary, in which an earlier token merges before a later one."""
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = []
    for token in tokens[len(CONTROL) :]:
        for cut in range(1, len(token)):
            start, end = token[:cut], token[cut:]
            if start in vocabulary and end in vocabulary:
                merges.append((start, end))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=False))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (UNKNOWN, BOS, EOS)])
    bos = (BOS, vocabulary[BOS])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[bos])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, *, template: bool) -> None:
    """Writes tokenizer.json and tokenizer_config.json as transformers and the service read them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": UNKNOWN,
        "pad_token": UNKNOWN,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    if template:
        config["chat_template"] = DEEPSEEK_TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n")
