"""Sampling that depends on the seed and the position alone, whatever else is in the batch.

The Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, "A* Sampling"): if g_i are independent draws of
-log(-log(u)), u uniform in (0, 1), then argmax(logit_i + g_i) is a draw from softmax(logits). The draws come from a
counter-based hash of (seed, position, token) instead of a generator's state (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"), so no request can disturb another's.
"""

import torch

NO_NOISE = 0  # the key of a greedy request
MASK32 = 2**32 - 1
MASK64 = 2**64 - 1
BELOW_ONE = 1 - 2**-24  # the largest float32 under 1


def step_key(seed: int, position: int) -> int:
    """The 32-bit key of one step, never NO_NOISE. Every bit of `seed` and `position` counts."""
    return (_splitmix64(_splitmix64(seed) ^ position) >> 32) or 1


def gumbel_noise(keys: torch.Tensor, vocab: int) -> torch.Tensor:
    """Standard Gumbel draws, float32 [len(keys), vocab]; zeros in the rows whose key is NO_NOISE.

    `keys` is int32 or int64 [B]; only its low 32 bits count. No value leaves the device (CUDA graphs allow it).
    """
    keys = (keys.to(torch.int64) & MASK32).unsqueeze(-1)
    tokens = _lowbias32(torch.arange(vocab, device=keys.device))
    u = ((_lowbias32(tokens ^ keys).to(torch.float32) + 0.5) * 2**-32).clamp(max=BELOW_ONE)
    # 1 - u is as uniform as u. Winning tokens have it near 1, where log1p keeps all 32 bits and float32 would not.
    noise = -torch.log(-torch.log1p(-u))
    return noise.masked_fill(keys == NO_NOISE, 0.0)


def _splitmix64(state: int) -> int:
    """One output of SplitMix64 (Steele, Lea, Flood 2014; constants of Vigna's splitmix64.c)."""
    z = (state + 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK64
    return z ^ z >> 31


def _lowbias32(x: torch.Tensor) -> torch.Tensor:
    """A 32-bit hash of each element (Wellons, hash-prospector, "lowbias32"), in int64 so that shifts are unsigned."""
    x = ((x ^ x >> 16) * 0x7FEB352D) & MASK32
    x = ((x ^ x >> 15) * 0x846CA68B) & MASK32
    return x ^ x >> 16
