"""The examples of docs/openai.md, as they stand there, against a door before the demo."""

import re
import shutil
import subprocess

import pytest

from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.support.running_door import running_door

PAGE = (ROOT / "docs/openai.md").read_text(encoding="utf-8")
CURL = re.findall(r"(?ms)^```bash\n(.*?)^```$", PAGE)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_the_page_s_curl_runs_as_it_stands(demo: LocalServer) -> None:
    with running_door(demo.url) as door:
        (script,) = [text.replace("http://127.0.0.1:8000", str(door.base_url).rstrip("/")) for text in CURL]
        said = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True).stdout
    assert '"id":"tiny-rl"' in said
    assert r"\\boxed{42}" in said
    assert said.endswith("data: [DONE]\n\n")
    assert '"votes":[{"answer":"42"' in said
