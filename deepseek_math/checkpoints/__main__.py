"""`python -m deepseek_math.checkpoints`: see `command.py`."""

import sys

from deepseek_math.checkpoints.command import main

if __name__ == "__main__":
    sys.exit(main())
