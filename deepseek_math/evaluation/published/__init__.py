r"""The published grader, restated: what deepseek-ai/DeepSeek-Math at b8b0f8c takes for an answer, and for the same one.

`findings.py` finds the answers, `normal_form.py` has the form that they are compared in, `published_equality.py` and
`ocw_equality.py` compare; `verdict.py` does so in processes that can be killed.

Beside the original (sympy 1.12, antlr 4.11), over all 11,458 rows of its nine files: every question, prompt with a
suffix and expected answer is the same. Of 39,700 completions made from them (the expected answers in some fifty
spellings, other rows' answers, solutions cut off or without their box) 33 verdicts differ:
- 29: where a percent sign follows a box, `\boxed{5}%`, the original keeps the closing brace and reads `5}`.
- 3: a number before \infty, of which the original's verdict depends on what its process compared before.
- 1: the original gave up after 15 s where this grader decides. Either way the answer counts as wrong.
What its parser cannot read, the original runs as a Python program; here that is not a formula.

Its other faults count as there, for the published figures have them. An exact answer after shots is wrong in 8 rows of
OCW (see `ocw_equality.py`), 31 of CMATH (fractions: the last number counts), 21 of Gaokao MathCloze (an answer after
shots keeps its dollars and fonts, the expected one does not) and 7 of Gaokao MathQA (labels of several letters).

Nothing was published for SAT, MMLU-STEM, OCW and both Gaokao sets without shots, nor for MGSM-zh after shots: the rules
of their rows in `benchmarks/` are this project's.
"""
