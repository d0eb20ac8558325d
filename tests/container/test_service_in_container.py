"""The service over HTTP, in a container of its own: streams, cancels, votes, programs and their packages."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deepseek_math.local.client import cancel, stream
from tests.container.running import Running
from tests.container.test_docker_run import LONG

VERSIONS = """
import asyncio
from deepseek_math.programs.sandbox.pool import Sandboxes
async def main():
    sandboxes = Sandboxes()
    async with sandboxes.open(seed=1) as sandbox:
        outcome = await sandbox.run('''
import sympy, numpy, scipy, matplotlib, pandas, networkx
print([each.__version__ for each in (sympy, numpy, scipy, matplotlib, pandas, networkx)])
x = sympy.Symbol('x')
print(sympy.solve(2.0*x - 4, x)[0] == 2, list(numpy.roots([1, -3, 2])), numpy.trapz([1, 2]))
''')
    print(outcome.printed, outcome.error)
    await sandboxes.close()
asyncio.run(main())
"""


def test_a_stream_arrives_live_and_whole(container: Running) -> None:
    events = list(stream(container.url, LONG | {"seed": 3, "max_new_tokens": 600}))
    pieces = [event for event in events if event.kind == "output"]
    assert len(pieces) > 3
    assert "".join(each.data["chunk"] for each in pieces) == "".join(events[-1].data["output"])
    assert pieces[0].at < pieces[-1].at - 0.1


def test_sixteen_streams_at_once_keep_apart(container: Running) -> None:
    def ask(first: int) -> str:
        answer = container.answer(prompt=f"What is {first} + 30?", mode="chat")
        return str(answer["metrics"]["answer"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(11, 27))) == [str(first + 30) for first in range(11, 27)]


def test_a_cancel_ends_a_prediction_and_frees_its_place(container: Running) -> None:
    begun, ends = threading.Event(), []

    def read() -> None:
        for event in stream(container.url, LONG | {"samples": 64}, prediction_id="to-cancel"):
            begun.set()
            ends.append(event)

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(60)
    cancel(container.url, "to-cancel")
    reader.join(60)
    assert ends[-1].data["status"] == "canceled"
    assert container.answer(prompt="What is 12 + 30?", mode="chat")["metrics"]["answer"] == "42"


def test_programs_see_the_published_packages_and_the_service_its_own(container: Running) -> None:
    """The image's step installs another sympy and numpy than the service's, in a folder of their own."""
    printed = container.python(VERSIONS)
    assert "['1.12', '1.26.0', '1.11.3', '3.8.1', '2.1.3', '3.1']" in printed
    assert printed.split("\n")[1:] == ["True [2.0, 1.0] 1.5", " None"]  # numpy 2 would print np.float64(2.0)
    assert container.python("import sympy; print(sympy.__version__)") == "1.14.0"
    assert "sympy 1.12" in container.logs()


def test_an_image_for_gguf_on_a_cpu_has_no_torch(container: Running) -> None:
    packages = ("torch", "torchvision", "transformers", "accelerate", "numpy")
    program = f"import importlib.util as util; print([each for each in {packages} if util.find_spec(each)])"
    assert container.python(program) == "[]"


def test_the_log_of_the_start_has_each_stage_and_all_in_one_line(container: Running) -> None:
    setup: dict[str, Any] = container.health()["setup"]
    assert setup["status"] == "succeeded"
    said = setup["logs"]
    last = said.split("ready after ")[1].splitlines()[0]
    stages = [each.split()[0] for each in last.split(": ")[1].split(", ")]
    assert stages == ["server", "imports", "files", "weights", "warm-up", "sandbox"]
    assert "deprecated" not in "".join(line for line in said.splitlines() if "coglet::setup" in line)
