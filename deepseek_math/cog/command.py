"""`dsm schema`: prints the OpenAPI document; `--update` writes predict.py's signature from the table of inputs."""

import argparse
from collections.abc import Sequence

from deepseek_math.cog import schema, signature
from deepseek_math.paths import PREDICTOR


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dsm schema", description="Prints the OpenAPI document of predict.py.")
    parser.add_argument("--update", action="store_true", help="write predict.py's inputs from the table instead")
    options = parser.parse_args(arguments)
    if not options.update:
        print(schema.dumps(schema.document()), end="")
    elif signature.update():
        print(f"{PREDICTOR} was written from deepseek_math/inputs.py.")
    else:
        print(f"{PREDICTOR} has the inputs of deepseek_math/inputs.py already.")
    return 0
