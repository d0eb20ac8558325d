r"""The published grader, restated: what deepseek-ai/DeepSeek-Math at b8b0f8c takes for an answer, and for the same one.

`findings.py` finds a completion's answers, `normal_form.py` has the form that they are compared in, `equality.py` and
`ocw_equality.py` compare; `verdict.py` does so in processes that can be killed.

Faults of the original count as there, for the published figures have them: see `ocw_equality.py`, and Gaokao MathQA's
seven labels of several letters, which nothing meets.
"""
