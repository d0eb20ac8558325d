"""`python -m deepseek_math` is the command `dsm`, where nothing is installed: in the container, for one."""

import sys

from deepseek_math.cli import main

sys.exit(main())
