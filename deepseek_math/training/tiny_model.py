"""The tiny family's checkpoints: new ones, and how they are loaded and saved as transformers and the service do."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from deepseek_math.errors import ServiceError
from deepseek_math.files import replacing_folder
from deepseek_math.training.stage import Shape
from deepseek_math.training.vocabulary import BOS, CONTEXT, EOS, UNKNOWN, save

HEAD = 64  # width of an attention head


def fresh(shape: Shape, tokenizer: Tokenizer, seed: int) -> LlamaForCausalLM:
    """A model with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.width // HEAD,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(UNKNOWN),
        initializer_range=0.02,
    )
    return LlamaForCausalLM(config)


def load(folder: Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """The model in float32, and its tokenizer. Raises ServiceError where a file of the checkpoint is missing."""
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ServiceError("checkpoint_unusable", f"{folder} is not a checkpoint folder: {name} is missing.")
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))


def write(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path, *, template: bool) -> None:
    """Writes a checkpoint folder in bfloat16. An existing folder of that name is replaced. template: for chat."""
    state = {name: tensor.to("cpu", torch.bfloat16) for name, tensor in model.state_dict().items()}
    config = model.config.to_dict() | {"dtype": "bfloat16"}
    saved = LlamaForCausalLM(LlamaConfig.from_dict(config)).to(torch.bfloat16)
    saved.load_state_dict(state)
    with replacing_folder(folder) as part:
        saved.save_pretrained(part)
        save(tokenizer, part, template=template)
