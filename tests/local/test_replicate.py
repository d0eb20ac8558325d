"""The snippets of docs/replicate.md, with Replicate's own Python client and curl, against a stand-in of its API."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.support.loopback import running
from tests.support.replicate_api import MODEL, TOKEN, VERSION, ReplicateApi

PAGE = (ROOT / "docs/replicate.md").read_text(encoding="utf-8")
REFERENCE = f"{MODEL}:{VERSION}"
PYTHON = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)
CURL = re.findall(r"(?ms)^```bash\n(.*?)^```$", PAGE)
SAID = ["12+30", "1234×56", "42 True [{'answer': '42', 'count'"]  # by the Python snippets, in their order


@pytest.fixture
def api(demo: LocalServer) -> Iterator[ReplicateApi]:
    with running(ReplicateApi(demo.url)) as api:
        yield api


def client(api: ReplicateApi) -> Client:
    return Client(api_token=TOKEN, base_url=api.url)


def run(command: list[str], api: ReplicateApi, folder: Path) -> str:
    environment = os.environ | {"REPLICATE_BASE_URL": api.url, "REPLICATE_API_TOKEN": TOKEN}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(SAID)))
def test_the_page_s_python_runs_as_it_stands(number: int, api: ReplicateApi, tmp_path: Path) -> None:
    assert len(PYTHON) == len(SAID)
    program = PYTHON[number].replace("VERSION", VERSION)
    assert SAID[number] in run([sys.executable, "-c", program], api, tmp_path)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_the_page_s_curl_runs_as_it_stands(api: ReplicateApi, tmp_path: Path) -> None:
    command = CURL[0].replace("https://api.replicate.com", api.url).replace('"VERSION"', f'"{VERSION}"')
    said = run(["bash", "-c", command], api, tmp_path)
    assert '"status": "succeeded"' in said
    assert "boxed{42}" in said.replace('", "', "").replace("\\\\", "\\")


def test_a_client_that_waits_by_itself_gets_part_of_a_long_answer_and_polling_all_of_it(demo: LocalServer) -> None:
    """Why the page says wait=False. The stand-in answers at the first text, as Replicate does after a minute."""
    inputs = {"prompt": "What is 1234 * 56?"}
    with running(ReplicateApi(demo.url, impatient=True)) as api:
        part = "".join(client(api).run(REFERENCE, inputs))
    with running(ReplicateApi(demo.url)) as api:
        whole = "".join(client(api).run(REFERENCE, inputs, wait=False))
    assert "boxed{69104}" in whole
    assert part
    assert whole.startswith(part)
    assert part != whole


def test_a_refusal_reaches_the_client_as_a_sentence(api: ReplicateApi) -> None:
    for inputs, said in (
        ({"prompt": "\boxed{}"}, "text_garbled: prompt holds a backspace"),
        ({"prompt": "x", "presence_penalty": 1.0}, "input_not_offered: presence_penalty is 1"),
    ):
        with pytest.raises(ModelError, match=said):
            client(api).run(REFERENCE, inputs)
    with pytest.raises(ReplicateError, match="prompt is required"):
        client(api).run(REFERENCE, {"text": "What is 12 + 30?"})


def test_a_file_as_the_prompt_is_read_where_it_comes_inline_and_refused_as_an_address(
    api: ReplicateApi, tmp_path: Path
) -> None:
    (tmp_path / "problem.txt").write_text("What is 12 + 30?\n")
    with (tmp_path / "problem.txt").open("rb") as file:
        output = client(api).run(REFERENCE, {"prompt": file}, file_encoding_strategy="base64")
        assert "boxed{42}" in "".join(output)
        with pytest.raises(ModelError, match="text_garbled: prompt holds nothing but an address"):
            client(api).run(REFERENCE, {"prompt": file})  # uploaded, as is the client's default


def test_a_prediction_is_cancelled_through_the_api(server: LocalServer) -> None:
    """The random model's: 64 texts of 4,000 tokens, which do not end by themselves before the cancel is there."""
    inputs = {"prompt": "x", "mode": "raw", "samples": 64, "temperature": 1.0, "max_new_tokens": 4000}
    with running(ReplicateApi(server.url)) as api:
        prediction = client(api).predictions.create(version=VERSION, input=inputs)
        prediction.cancel()
        prediction.wait()
        assert prediction.status == "canceled"


def test_the_stand_in_refuses_a_wrong_token(api: ReplicateApi) -> None:
    with pytest.raises(ReplicateError, match="authentication token"):
        Client(api_token="wrong", base_url=api.url).run(REFERENCE, {"prompt": "x"})
