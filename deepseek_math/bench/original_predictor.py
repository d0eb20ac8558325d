"""Generates as the predictor does that DeepSeekMath was published with, for comparison (replicate/predict.py there).

Written from its description. One prediction at a time: transformers' `generate()` on a thread, its text streamer on
Cog's side. As there, a client that leaves does not stop the generation, and a second request gets HTTP 409. Greedy, in
BENCH_DTYPE.

NOTE: Cog loads this file from a folder of its own; see `contenders.py`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from cog import BasePredictor, ConcatenateIterator, Input, streaming
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, TextIteratorStreamer


class Predictor(BasePredictor):
    def setup(self) -> None:
        """Loads BENCH_WEIGHTS: a folder, or a GGUF file, which transformers unpacks to BENCH_DTYPE."""
        torch.set_num_threads(int(os.environ["BENCH_THREADS"]))
        weights, own = Path(os.environ["BENCH_WEIGHTS"]), {}
        device = "cuda" if torch.cuda.is_available() else "cpu"
        loading = {"dtype": getattr(torch, os.environ["BENCH_DTYPE"]), "device_map": device}
        if weights.is_file():
            own = {"gguf_file": weights.name}
            loading["quantization_config"] = GgufConfig(dequantize=True)
            weights = weights.parent
        self.tokenizer = AutoTokenizer.from_pretrained(weights, local_files_only=True, trust_remote_code=False, **own)
        self.model = AutoModelForCausalLM.from_pretrained(
            weights, local_files_only=True, trust_remote_code=False, **own, **loading
        )

    @streaming
    def predict(
        self,
        prompt: str = Input(description="The text to continue."),
        max_new_tokens: int = Input(description="The most tokens to generate.", default=64, ge=1),
    ) -> ConcatenateIterator[str]:
        """Streams the completion."""
        inputs = self.tokenizer(prompt, return_tensors="pt").to(self.model.device)
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)

        def generate() -> int:
            try:
                with torch.inference_mode():
                    whole = self.model.generate(
                        **inputs, streamer=streamer, max_new_tokens=max_new_tokens, do_sample=False
                    )
            finally:  # after a failure generate() does not end the stream, and `yield from` would wait forever
                streamer.on_finalized_text("", stream_end=True)
            return int(whole.shape[1] - inputs.input_ids.shape[1])

        thread = ThreadPoolExecutor(1)
        generated = thread.submit(generate)
        thread.shutdown(wait=False)  # it takes no other work
        yield from streamer
        completion_tokens = generated.result()
        self.record_metric("prompt_tokens", inputs.input_ids.shape[1])
        self.record_metric("completion_tokens", completion_tokens)
