"""`dsm batch`: a file of questions in, the same file with their answers out.

`input_file.py` reads rows, a form (`table_form.py`, `openai_form.py`) makes requests of them, and `survey.py` looks at
all of them before anything is asked. `run.py` has the rest: `asker.py` asks what `answered.py` does not find among the
answers of earlier calls, and `output_file.py` writes the rows in their order.
"""
