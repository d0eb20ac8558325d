"""`python -m deepseek_math.bench` is `dsm bench`."""

import sys

from deepseek_math.bench.comparison import main

if __name__ == "__main__":
    sys.exit(main())
