"""A real browser without a window, spoken to through two pipes, so that no test opens a port for it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One browser with one page; use it in a `with` block."""

    def __init__(self, profile: Path, *, dark: bool = False) -> None:
        assert BROWSER is not None
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        flags += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--window-size=1200,900"]
        if dark:
            flags.append("--force-dark-mode")
        # The browser reads from descriptor 3 and writes to 4.
        high = "a, b = fcntl.fcntl(a, fcntl.F_DUPFD, 20), fcntl.fcntl(b, fcntl.F_DUPFD, 20)"
        script = (
            f"import fcntl, os, sys; a, b = {to_read}, {to_write}; {high}; os.dup2(a, 3); os.dup2(b, 4);"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, BROWSER, *flags, "about:blank"],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        try:
            self._attach()
        except BaseException:
            self.__exit__()
            raise

    def _attach(self) -> None:
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one for one in targets if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(30)
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self._next(deadline - time.monotonic())
            if found is not None and found.get("id") == self._number:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]
        raise AssertionError(f"the browser did not answer {method}")

    def _next(self, timeout_s: float) -> dict[str, Any] | None:
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], max(0.0, timeout_s))[0]:
                return None
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "the browser ended"
            self._rest += chunk
        raw, self._rest = self._rest.split(b"\0", 1)
        found = json.loads(raw)
        if "method" in found:
            self.events.append(found)
        return found

    def wait_event(self, method: str, timeout_s: float = 40.0) -> None:
        """Reads until an event of this kind arrives."""
        start, deadline = len(self.events), time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if any(event["method"] == method for event in self.events[start:]):
                return
            self._next(deadline - time.monotonic())
        raise AssertionError(f"no {method} within {timeout_s} s")

    def open(self, path: Path) -> None:
        """Shows a local page, loaded."""
        self.call("Page.navigate", url=path.as_uri())
        self.wait_event("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def key(self, key: str, code: int) -> None:
        """Presses and releases a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A mouse event at a place in the window; `kind` as the protocol names it."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path) -> None:
        """A picture of the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """What a developer would see in red: console messages, errors, refusals by the page's own policy."""
        bad = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in bad]
