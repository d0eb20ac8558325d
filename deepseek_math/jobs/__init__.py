"""Many questions to a service, or to several: what `dsm evaluate` and `dsm batch` share.

`served.py` says what answers, `asking.py` asks it, with retries and as much at once as it takes, `ray_workers.py` does
so on several machines. `journal.py` is the file that a kill can't hurt, `progress.py` the bar.
"""


class JobError(Exception):
    """The run can't start or go on; the text says why and what to do."""
