"""Whether a served checkpoint reaches its published score: `python -m replicate.evaluate gsm8k --limit 200`.

A benchmark's questions (`benchmarks/`) go to a running service over Cog's plain HTTP (`run.py`), every completion is
graded twice (`grade.py`, `published.py`) and written down at once (`results.py`); `summary.py` holds the accuracy and
its interval against the published figure. `compare.py` sets two runs side by side, `report.py` many.
"""
