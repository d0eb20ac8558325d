"""Speed, measured on one machine: `dsm bench` and its subcommands. Never imported by the service.

`side_by_side.py` measures `contenders.py`, servers that hold the same weights. Each gets the same loads (`loads.py`) of
the same prompts (`workload.py`) over HTTP (`streams.py`), one contender at a time and in turn, round after round.
`processes.py` reads what that cost, `figures.py` takes the medians over the rounds, and `result_table.py` and
`picture.py` show them. The other commands stand alone: `ceiling.py` with the engines in `free/`, `clients.py`,
`soak.py` with its `traffic.py`, `stops.py`, `batch_rows.py`, `votes.py`, `gpu.py`, `scale.py`, `variants.py`,
`sandbox.py`, `download.py`, `seven_b.py` and what else has a `main`.
`command.py` has what their command lines share.
"""
