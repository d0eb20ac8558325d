"""Speed, measured side by side: `python -m deepseek_math.bench` (or `make bench`) on one machine, in one run.

The `contenders.py` are servers that hold the same weights. Each is given the same loads (`loads.py`) of the same
prompts (`prompts.py`) over HTTP (`streams.py`), one contender at a time and in turn, round after round. `processes.py`
reads what that cost; `summary.py` takes the medians over the rounds, and `picture.py` draws them. `gpu.py` is another
bench: the transformers engine with the shape of the 7B on a GPU.
"""
