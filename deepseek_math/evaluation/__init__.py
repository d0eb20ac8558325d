"""Whether a served checkpoint reaches its published score: `dsm evaluate gsm8k --limit 200`.

A benchmark's questions (`benchmarks/`, `data.py`) go to a running service as a plan says (`plan.py`, `runner.py`).
Every completion is graded twice (`grade.py`: by the service's strict rules, and by the published ones) and written to
the results file at once (`results.py`). `summary.py` compares the accuracy and its interval with the published figure,
where one was published for the same settings. `comparison.py` compares two runs, `report.py` shows many.
"""
