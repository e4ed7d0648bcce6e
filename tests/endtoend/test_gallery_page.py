"""The page in a real browser: the line moves by mouse and keys, it renews itself, and nothing is ever fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.chromium import BROWSER, Chromium
from tests.support.conditions import wait_until
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (Debian: apt install chromium)"),
]
AT = "document.querySelector('.stage').style.getPropertyValue('--at')"
COUNT = "document.querySelectorAll('figure').length"


def test_the_page_in_a_browser(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    running = daemon(tables="[[inbox.deliver]]\nlabel = 'master'\n").start()
    (running.inbox / "chelsea.jpg").write_bytes(encoded("chelsea"))
    running.wait(lambda: len(running.outputs()) == 1, "the first cutout", 90)
    target = tmp_path / "g.html"
    command = [sys.executable, "-m", "cutoutd.service", "gallery", "--watch", "-o", str(target)]
    with (tmp_path / "said").open("wb") as said:
        follower = subprocess.Popen(command, env=running.env(), stdout=said, stderr=said)
    try:
        wait_until(target.exists, "the page", 60)
        with Chromium(tmp_path / "profile") as browser:
            browser.open(target)
            assert browser.run(COUNT) == 1
            assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            _moves(browser)
            browser.run("document.querySelector('#on-black').click()")
            behind = "getComputedStyle(document.querySelector('.after')).backgroundColor"
            assert browser.run(behind) == "rgb(0, 0, 0)"
            _renews_itself(browser, running, behind)
            _keep_a_picture(browser)
            assert browser.complaints() == []
            assert set(browser.requested()) == {target.as_uri()}
    finally:
        follower.terminate()
        follower.wait(30)
    assert running.stop() == 0


def _moves(browser: Chromium) -> None:
    """By the mouse, and by the arrow keys of whoever has no mouse."""
    assert browser.run(AT) == "50%"
    box = browser.run(
        "(() => { const b = document.querySelector('.stage').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    left, top, width, height = box
    browser.mouse("mousePressed", left + width * 0.5, top + height / 2)
    browser.mouse("mouseMoved", left + width * 0.8, top + height / 2)
    browser.mouse("mouseReleased", left + width * 0.8, top + height / 2)
    at = float(browser.run(AT).rstrip("%"))
    assert 70 < at < 90
    clip = browser.run("getComputedStyle(document.querySelector('.stage .after')).clipPath")
    assert f"{at:g}%" in clip
    browser.run("document.activeElement.blur()")
    for _ in range(4):  # three choices are one stop of the Tab key, the line is the next
        browser.key("Tab", 9)
        if browser.run("document.activeElement.type") == "range":
            break
    assert browser.run("document.activeElement.getAttribute('aria-label')").endswith("chelsea.jpg")
    browser.key("ArrowLeft", 37)
    assert float(browser.run(AT).rstrip("%")) == at - 1


def _renews_itself(browser: Chromium, running: Daemon, behind: str) -> None:
    at = browser.run(AT)
    (running.inbox / "coffee.jpg").write_bytes(encoded("coffee"))
    running.wait(lambda: len(running.outputs()) == 2, "the second cutout", 90)
    wait_until(
        lambda: browser.run("document.readyState") == "complete" and browser.run(COUNT) == 2, "two", 60
    )
    # Who had moved the line and chosen black finds both as they were.
    assert browser.run("document.querySelectorAll('.stage')[1].style.getPropertyValue('--at')") == at
    assert browser.run(behind) == "rgb(0, 0, 0)"


def _keep_a_picture(browser: Chromium) -> None:
    """For human eyes, where CUTOUTD_SCREENSHOTS names a folder."""
    folder = os.environ.get("CUTOUTD_SCREENSHOTS")
    if folder:
        browser.run("document.querySelector('#on-checks').click()")
        browser.screenshot(Path(folder) / "gallery-light.png")
        browser.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
        )
        browser.screenshot(Path(folder) / "gallery-dark.png")


def test_without_photos_there_is_a_page_that_says_so(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    asker = daemon()
    assert "has not run here" in asker.cli("gallery", "-o", str(tmp_path / "g.html")).stderr
    asker.start()
    answer = asker.cli("gallery", "-o", str(tmp_path / "g.html"))
    assert answer.returncode == 0, answer.stderr
    assert "No finished photo yet" in (tmp_path / "g.html").read_text()
    shutil.copy(__file__, tmp_path / "mine.html")
    assert asker.cli("gallery", "-o", str(tmp_path / "mine.html")).returncode == 2
    assert asker.stop() == 0
