"""Grows the family's tokenizer: digits apart, the field's words whole, any other text as bytes.

It is of the SentencePiece BPE family, as Llama's: two neighbours merge when their union is in the vocabulary, the
union that was learnt first wins, and what is no character of the vocabulary falls back to bytes. llama.cpp
("tokenizer.ggml.model": "llama") and the tokenizers library both follow this rule, so both give the same ids.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE

UNKNOWN, BOS, EOS = "<unk>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
SPACE = "▁"
# While the vocabulary is learnt, tokens stay inside these pieces: no token holds two digits, or a line's end.
PIECES = rf"{SPACE}?[A-Za-z]+|\\[A-Za-z]+\{{?|[\u4e00-\u9fff]+|```|."
CONTEXT = 4096


def grow(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of at most `size` tokens, learnt from `texts`."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", SPACE)
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    control = [UNKNOWN, BOS, EOS, *(f"<0x{byte:02X}>" for byte in range(256))]
    alphabet = [chr(code) for code in range(33, 127)] + [SPACE]
    learner.train_from_iterator(
        (line for text in texts for line in text.split("\n")),
        trainers.BpeTrainer(vocab_size=size - len(control), initial_alphabet=alphabet, show_progress=False),
    )
    learnt = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return assemble([*control, *(token for token, _ in learnt)])


def assemble(tokens: list[str]) -> Tokenizer:
    """The tokenizer of a vocabulary, in which an earlier token merges before a later one."""
    vocabulary = {token: place for place, token in enumerate(tokens)}
    merges = [
        (token[:cut], token[cut:])
        for token in tokens[259:]
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
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
