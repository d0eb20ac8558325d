"""A headless Chromium by the WebDriver protocol (W3C), which chromedriver speaks: no package of its own is needed."""

import base64
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from deepseek_math.local.server import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's key of an element
WAIT = 60.0  # seconds for what a page shows in the end, on a machine that is busy
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Control": "\ue009"}


class Browser:
    """`with Browser() as browser: browser.open(url)`. It reaches this machine alone."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        assert DRIVER is not None
        port = free_port()
        self._driver = subprocess.Popen(
            [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT, trust_env=False)
        self._session = ""

    def __enter__(self) -> "Browser":
        assert self.until(self._answers), "chromedriver does not answer"
        options = {
            "binary": CHROMIUM,
            # no-sandbox: Chromium has none as root. The rest reaches no other machine.
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
        }
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        session = self._call("POST", "/session", capabilities=capabilities)
        self._session = f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._call("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait(10)
        self._http.close()

    def _answers(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except httpx.HTTPError:
            return False

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body if method == "POST" else None).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns in the page."""
        return self._call("POST", f"{self._session}/execute/sync", script=script, args=list(arguments))

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def count(self, selector: str) -> int:
        return int(self.run("return document.querySelectorAll(arguments[0]).length", selector))

    def shows(self, selector: str) -> bool:
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector))

    def click(self, selector: str) -> None:
        self._call("POST", f"{self._element(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self._call("POST", f"{self._element(selector)}/value", text=text)

    def press(self, *names: str) -> None:
        """Keys at once, for what has the focus."""
        down = [{"type": "keyDown", "value": KEYS.get(name, name)} for name in names]
        up = [{"type": "keyUp", "value": key["value"]} for key in reversed(down)]
        keyboard = {"type": "key", "id": "keyboard", "actions": [*down, *up]}
        self._call("POST", f"{self._session}/actions", actions=[keyboard])

    def _element(self, selector: str) -> str:
        found = self._call("POST", f"{self._session}/element", using="css selector", value=selector)
        return f"{self._session}/element/{found[ELEMENT]}"

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol: what is emulated, what is allowed."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", cmd=command, params=parameters)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.devtools("Emulation.setEmulatedMedia", features=scheme)

    def messages(self) -> list[str]:
        """What the console said since the last call, refusals of the Content-Security-Policy among it."""
        return [entry["message"] for entry in self._call("POST", f"{self._session}/se/log", type="browser")]

    def picture(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def until(self, true: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if true():
                return True
            time.sleep(0.05)
        return False
