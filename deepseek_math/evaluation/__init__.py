"""Whether a served checkpoint reaches its published score: `python -m deepseek_math.evaluation gsm8k --limit 200`.

A benchmark's questions (`benchmarks/`, `data.py`) go to a running service as a plan says (`plan.py`, `run.py`). Every
completion is graded twice (`grade.py`, `published_answers.py` and `published_equality.py`) and written down at once
(`results.py`); `summary.py` holds the accuracy and its interval against the published figure, where there is one for
the same settings. `compare.py` sets two runs side by side, `report.py` many.
"""
