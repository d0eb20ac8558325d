"""How a completion is drawn: the sampling parameters of one request."""

from dataclasses import dataclass, replace

from deepseek_math.inputs import BY_NAME, MAX_SEED

COLDEST = 1e-6  # logits divided by less overflow float32, and draw the same token as divided by this
UNSEEN_STEP = 16  # tokens that an engine may join in a delta of a text that nobody sees grow
SEED_STEP = 0x9E3779B1  # from a round to the next: odd, and far from the seeds of a vote's other samples


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters, already checked (`deepseek_math.request`).

    The engines apply them in this order: temperature, top_k, top_p, then one draw that depends on `seed`
    and on the token's position alone. Temperature 0 is greedy, whatever the rest says.
    """

    max_new_tokens: int = BY_NAME["max_new_tokens"].default
    temperature: float = 0.0
    top_p: float = BY_NAME["top_p"].default
    top_k: int = BY_NAME["top_k"].default  # 0 is off
    seed: int = 0
    stop: tuple[str, ...] = ()
    logprobs: bool = False  # whether deltas carry their tokens' texts and log-probabilities, where the engine has them
    seen: bool = True  # whether a client sees the text grow; else it comes in few and large deltas (UNSEEN_STEP)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def engine_temperature(self) -> float:
        """What engines are given: 0, or COLDEST at least."""
        return 0.0 if self.greedy else max(float(self.temperature), COLDEST)

    def with_stops(self, strings: tuple[str, ...]) -> "Sampling":
        """The same, ended by these strings too."""
        return replace(self, stop=tuple(dict.fromkeys([*self.stop, *strings])))

    def of_round(self, number: int, max_new_tokens: int) -> "Sampling":
        """The same for the generation after `number` programs. Each has a seed of its own, for llama.cpp draws by the
        seed and the token's position in one generation."""
        seed = (self.seed + number * SEED_STEP) % (MAX_SEED + 1)
        return replace(self, max_new_tokens=max_new_tokens, seed=seed)
