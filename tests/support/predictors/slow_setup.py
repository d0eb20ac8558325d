"""A Predictor whose setup takes a while and says so."""

import time

from cog import BasePredictor, ConcatenateIterator, Input, streaming


class Predictor(BasePredictor):
    def setup(self) -> None:
        print("step one", flush=True)
        time.sleep(3.0)
        print("step two", flush=True)
        time.sleep(0.1)

    @streaming
    def predict(self, text: str = Input(default="")) -> ConcatenateIterator[str]:
        yield text
