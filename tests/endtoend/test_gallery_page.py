"""The gallery in a real browser: a frame within a second, keys, no jump, odd names, a client's page, 1,000 photos."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tests.support.chromium import BROWSER, Chromium
from tests.support.conditions import wait_until
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded
from tests.support.shoot import PICTURES, Shoot

from cutoutd.daemon.ledger.shots import Standing, last_shots
from cutoutd.service.cli.review import review
from cutoutd.service.gallery.feed import Tone, as_script, feed, gallery_id, pulse
from cutoutd.service.gallery.page import OWN, page
from cutoutd.service.gallery.shelf import Shelf
from cutoutd.service.gallery.thumbnails import Small

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("gallery"),  # one after the other: they share a browser and two running galleries
]
in_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium is installed (Debian: apt install chromium)"
)
WITHIN_S = 1.0
HOSTILE = b"<img src=x onerror=\"document.title='owned'\">'\"&{{stem}}</script>.jpg"


@contextmanager
def gallery(env: dict[str, str], said: Path, *options: str) -> Generator[None]:
    """`cutoutd gallery` as it is typed, ended with the block."""
    command = [sys.executable, "-m", "cutoutd.service", "gallery", *options]
    with said.open("wb") as words:
        process = subprocess.Popen(command, env=env, stdout=words, stderr=words)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Generator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


def clean(browser: Chromium, folder: Path) -> None:
    """Nothing in red, and nothing asked for but files of this gallery.

    Chromium asks how long a file is before it opens it: of a feed that is replaced in between it reads as much as the
    earlier one had. The page sees that it was told nothing and reads again (`look` in core.js).
    """
    cut_short = [one for one in browser.complaints() if "SyntaxError" in one and "index-feed.js" in one]
    assert len(cut_short) <= 1
    assert [one for one in browser.complaints() if one not in cut_short] == []
    allowed = (folder.as_uri() + "/", "blob:")
    asked = [one["params"] for one in browser.events if one["method"] == "Network.requestWillBeSent"]
    mine = [one["request"]["url"] for one in asked if one["documentURL"].startswith(allowed)]
    assert mine
    assert [url for url in mine if not url.startswith(allowed)] == []


def opened(browser: Chromium, path: Path, cells: int) -> None:
    browser.events.clear()
    browser.open(path)
    browser.run("localStorage.clear()")
    wait_until(lambda: browser.run("cells.size") == cells, f"{cells} pictures")


def drawn(browser: Chromium) -> bool:
    """Whether the large picture of the newest photo is on the screen, and its cell."""
    return browser.run(
        "hero.pair?.querySelector('.after img').complete === true"
        " && hero.pair.querySelector('.after img').src.includes(`/${feed.photos[0].id}-`)"
        " && feed.photos[0].made.length > 0 && order[0] === feed.photos[0].id"
    )


@in_browser
@pytest.mark.alone
def test_a_new_frame_is_on_the_screen_within_a_second_of_its_cutout(
    daemon: Callable[..., Daemon], browser: Chromium, tmp_path: Path
) -> None:
    running = daemon(tables="[[inbox.deliver]]\nlabel = 'master'\n").start()
    (running.inbox / "chelsea.jpg").write_bytes(encoded("chelsea"))
    running.wait(lambda: len(running.outputs()) == 1, "the first cutout", 90)
    folder = running.state / "gallery"
    with gallery(running.env(), tmp_path / "said", "--watch"):
        wait_until((folder / "index-feed.js").exists, "the page", 60)
        opened(browser, folder / "index.html", 1)
        wait_until(lambda: drawn(browser), "the first picture")
        browser.run("globalThis.same = document.body")
        for name in ("coffee", "astronaut"):
            count = len(running.outputs())
            (running.inbox / f"{name}.jpg").write_bytes(encoded(name))
            running.wait(lambda count=count: len(running.outputs()) == count + 1, "its cutout", 90)
            since = time.monotonic()
            wait_until(lambda count=count: browser.run("cells.size") == count + 1 and drawn(browser), name)
            assert time.monotonic() - since < WITHIN_S
        assert browser.run("globalThis.same === document.body")  # nothing was loaded anew
        clean(browser, folder)
    wait_until(lambda: browser.run("feed.live") is False, "the page hears that it was the last")
    assert running.stop() == 0


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shoot]:
    """Seven photos and a `cutoutd gallery --watch` for each page."""
    shoot = Shoot(tmp_path_factory.mktemp("shoot"))
    for number in range(4):
        shoot.add(b"DSC_%d.jpg" % number, PICTURES[number % 3], ("master", "white"))
    shoot.add(HOSTILE, "coffee", ("master", "white"), "<b>hazy</b>")
    shoot.failed(b"DSC_8.jpg", "No subject was found.")
    shoot.add(b"DSC_9.jpg", "coffee", ("master",))
    folder = shoot.state / "gallery"
    with (
        gallery(shoot.env(), shoot.root / "said", "--watch", "--full"),
        gallery(shoot.env(), shoot.root / "client said", "--watch", "--client"),
    ):
        for stem in ("index", "client"):
            wait_until((folder / f"{stem}-feed.js").exists, "the page, and what it shows", 60)
        yield shoot


@in_browser
def test_keys_and_the_line(browser: Chromium, shoot: Shoot) -> None:
    opened(browser, shoot.state / "gallery" / "index.html", shoot.count)
    wait_until(lambda: browser.run("feed.making") == 0, "all small pictures", 60)
    browser.key("Enter", 13)  # nothing has the focus yet: the newest
    assert browser.run("$('viewer').open && photoNow().id") == 7
    browser.key("Escape", 27)
    browser.run("document.activeElement.blur()")
    browser.key("ArrowRight", 39)
    assert browser.run("document.activeElement.closest('.cell').dataset.photo") == "7"
    browser.key("ArrowRight", 39)
    assert browser.run("document.activeElement.closest('.cell').dataset.photo") == "6"
    browser.run("document.activeElement.click()")
    assert browser.run("$('said').textContent") == "No subject was found."
    browser.key("ArrowRight", 39)
    assert browser.run("[$('viewer').open, current]") == [True, 5]
    assert browser.run("$('made').children.length") == 2
    shown = (
        "document.querySelector('#stage .after img').src.split('/').pop().split('-').slice(0, 2).join('-')"
    )
    wait_until(lambda: browser.run("stage.pair?.querySelector('.after img')?.complete"), "the picture")
    first = browser.run(shown)
    browser.key("d", 68)
    wait_until(lambda: browser.run(shown) != first, "the other deliverable")
    browser.key("d", 68)
    browser.key(" ", 32)
    assert browser.run("choice.view") == "before"
    assert browser.run("getComputedStyle(document.querySelector('#stage .after')).display") == "none"
    browser.key(" ", 32)
    browser.key("s", 83)
    wait_until(lambda: browser.run("document.querySelector('#stage input') !== null"), "the line")
    left, top, width, height = browser.run(
        "(() => { const b = stage.pair.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    for kind, at in (("mousePressed", 0.5), ("mouseMoved", 0.8), ("mouseReleased", 0.8)):
        browser.mouse(kind, left + width * at, top + height / 2)
    at = browser.run("parseFloat(stage.pair.style.getPropertyValue('--at'))")
    assert 75 < at < 85
    assert f"{at:g}%" in browser.run("getComputedStyle(document.querySelector('#stage .after')).clipPath")
    browser.key("b", 66)
    behind = "getComputedStyle(document.querySelector('#stage .after')).backgroundColor"
    assert browser.run(behind) == "rgb(255, 255, 255)"
    browser.key("z", 90)
    assert browser.run("$('honest').textContent") == "100 % of 600 × 400"
    assert browser.run("stage.pair.querySelector('.before img').src").endswith(".jpg")  # the file itself
    assert round(browser.run("stage.pair.getBoundingClientRect().width")) == 600
    browser.key("f", 70)
    wait_until(lambda: browser.run("document.fullscreenElement?.id") == "alone", "the whole screen")
    browser.key("f", 70)
    wait_until(lambda: browser.run("document.fullscreenElement === null"), "a window again")
    browser.key("Escape", 27)
    wait_until(lambda: browser.run("$('viewer').open") is False, "all pictures again")
    browser.run("choose('view', 'after'); choose('ground', 'checker')")
    clean(browser, shoot.state / "gallery")


@in_browser
def test_choices_come_back(browser: Chromium, shoot: Shoot, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(browser, shoot.state / "gallery" / "index.html", shoot.count)
    browser.run("openViewer(4)")
    for key, code in (("a", 65), ("ArrowRight", 39), ("x", 88), ("Escape", 27)):
        browser.key(key, code)
    assert browser.run("document.querySelectorAll('.accepted, .rejected').length") == 2
    assert browser.run("$('save').textContent") == "Save 2 choices"
    browser.run("$('save').click()")
    saved = browser.run("fetch($('saving-file').href).then((r) => r.text(), () => $('saving-text').value)")
    named = browser.run("[$('saving-file').download, document.querySelector('#saving-how code').textContent]")
    assert re.fullmatch(
        r"cutoutd-review-\d{4}-\d\d-\d\d-\d{6}\.json", named[0]
    )  # none is saved under another's name
    assert named[1] == f"cutoutd review ~/Downloads/{named[0]}"
    browser.run("$('saving').close()")
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(shoot.state))
    answer = CliRunner().invoke(review, ["-"], input=saved, catch_exceptions=False)
    assert answer.output == "1 photo accepted, 1 rejected.\n"
    # The running gallery tells the page, which has nothing to save any more.
    wait_until(lambda: browser.run("$('save').disabled") is True, "the page to hear of it")
    assert browser.run("feed.photos.find((one) => one.id === 4).mark") == "accepted"


def clicked(browser: Chromium, across: float, down: float) -> None:
    """A click on the picture alone, at shares of its width and height."""
    left, top, width, height = browser.run(
        "(() => { const b = stage.pair.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.mouse(kind, left + width * across, top + height * down)


POINTS = "[...document.querySelectorAll('#stage .point')].map((one) => one.textContent).join('')"
SHOWN = (
    "['before', 'after'].map((one) => document.querySelector(`#stage .${one}`))"
    ".filter((one) => one && getComputedStyle(one).display !== 'none').map((one) => one.className)"
)


@in_browser
def test_points_are_set_taken_back_and_saved(browser: Chromium, shoot: Shoot) -> None:
    opened(browser, shoot.state / "gallery" / "index.html", shoot.count)
    wait_until(lambda: browser.run("feed.making") == 0, "all small pictures", 60)
    browser.run("choose('view', 'after'); openViewer(3)")
    wait_until(lambda: browser.run("stage.pair?.querySelector('.after img')?.complete"), "the picture")
    wait_until(lambda: browser.run(SHOWN) == ["after"], "the cutout alone")
    browser.key("r", 82)
    assert browser.run(SHOWN) == ["before", "after"]  # what was left out is seen too, pale
    clicked(browser, 0.25, 0.5)
    clicked(browser, 0.75, 0.5)
    browser.key("k", 75)
    clicked(browser, 0.5, 0.25)
    assert browser.run(POINTS) == "+−−"
    assert "1 to keep, 2 to remove" in browser.run("$('honest').textContent")
    clicked(browser, 0.25, 0.5)  # on a point
    assert browser.run(POINTS) == "+−"
    browser.key("Backspace", 8)
    assert browser.run(POINTS) == "−"
    assert browser.run("[$('save-here').hidden, $('save-here').textContent]") == [False, "Save 1 choice"]
    browser.run("$('save-here').click()")
    assert browser.run("[$('saving').open, $('viewer').open]") == [True, True]
    assert "One photo is then made again with your points." in browser.run("$('saving-how').textContent")
    browser.run("$('saving').close()")
    # A finished file that does not lie on the photo gives way to it, and the points stay where they are.
    browser.key("d", 68)
    wait_until(lambda: browser.run(SHOWN) == ["before"], "the photo alone")
    wait_until(lambda: browser.run(POINTS) == "−", "its point")
    browser.key("d", 68)
    wait_until(lambda: browser.run(SHOWN) == ["before", "after"], "both again")
    browser.key("Escape", 27)
    wait_until(lambda: browser.run("pointing") == "", "the end of pointing")
    assert browser.run("[$('viewer').open, document.querySelectorAll('#stage .point').length]") == [True, 0]
    browser.key("Escape", 27)
    wait_until(lambda: browser.run("$('viewer').open") is False, "all pictures again")
    assert browser.run("document.querySelector('.cell[data-photo=\"3\"]').classList.contains('pointed')")
    assert browser.run("$('save').textContent") == "Save 1 choice"
    told = browser.run("JSON.parse(review())")
    assert told["marks"] == {}
    ((x, y),) = (one.split(",") for one in told["fixes"]["3"]["remove"])
    assert (float(x.removesuffix("%")), float(y.removesuffix("%"))) == (
        pytest.approx(75, abs=0.5),
        pytest.approx(50, abs=0.5),
    )
    # A photo that failed has no cutout, and can be pointed at all the same.
    browser.run("openViewer(6)")
    browser.key("k", 75)
    wait_until(
        lambda: browser.run("stage.pair?.querySelector('.before img')?.src.includes('/6-')"), "the photo"
    )
    clicked(browser, 0.5, 0.5)
    assert browser.run("JSON.parse(review()).fixes['6'].keep.length") == 1
    browser.run("closeViewer()")
    clean(browser, shoot.state / "gallery")


@in_browser
def test_a_photo_is_made_again_as_it_was_pointed_at(
    daemon: Callable[..., Daemon], browser: Chromium, tmp_path: Path
) -> None:
    running = daemon(config="quality = 'standard'").start()
    (running.inbox / "astronaut.jpg").write_bytes(encoded("astronaut"))
    running.wait(lambda: len(running.outputs()) == 1, "the first cutout", 90)
    folder = running.state / "gallery"
    helmet, suit, hair = (0.8, 0.85), (0.4, 0.65), (0.4, 0.2)

    def seen() -> list[bool]:
        """Whether the helmet is part of the cutout, and the suit."""
        with Image.open(running.outbox / running.outputs()[0]) as image:
            alpha = np.asarray(image.getchannel("A"))
            return [bool(alpha[int(y * image.height), int(x * image.width)]) for x, y in (helmet, suit)]

    assert seen() == [True, True]
    with gallery(running.env(), tmp_path / "said", "--watch"):
        wait_until((folder / "index-feed.js").exists, "the page", 60)
        opened(browser, folder / "index.html", 1)
        wait_until(lambda: drawn(browser), "the picture")
        wait_until(lambda: browser.run("canPoint(feed.photos[0])"), "the photo to be done")
        browser.run("openViewer(1)")
        wait_until(lambda: browser.run("stage.pair?.querySelector('.after img')?.complete"), "the picture")
        browser.key("r", 82)
        clicked(browser, *helmet)
        browser.key("k", 75)
        clicked(browser, *suit)
        clicked(browser, *hair)
        saved = browser.run("review()")
        (tmp_path / "cutoutd-review.json").write_text(saved)
        answer = running.cli("review", str(tmp_path / "cutoutd-review.json"))
        assert (answer.returncode, answer.stdout) == (0, "1 photo made again with your points.\n")
        running.wait(lambda: seen() == [False, True], "a cutout without the helmet", 60)
        # The page has nothing to save any more, and knows what the cutout was made with.
        wait_until(
            lambda: (
                browser.run("[$('save').disabled, feed.photos[0].state, feed.photos[0].fixes?.keep?.length]")
                == [True, "done", 2]
            ),
            "the page to hear of it",
        )
        assert browser.run("[$('viewer').open, current]") == [True, 1]  # it was not closed meanwhile
        browser.key("k", 75)
        wait_until(lambda: browser.run(POINTS) == "++−", "the points that it was made with")
        clean(browser, folder)
    assert running.stop() == 0


@in_browser
def test_names_are_only_ever_text(browser: Chromium, shoot: Shoot) -> None:
    opened(browser, shoot.state / "gallery" / "index.html", shoot.count)
    assert HOSTILE.decode() in browser.run(
        "[...document.querySelectorAll('figcaption b')].map((one) => one.textContent)"
    )
    browser.run("openViewer(5)")
    assert browser.run("$('said').textContent") == "Worth a look: <b>hazy</b> (71% sure)."
    assert browser.run("document.querySelectorAll('[onerror], img[src=x], b b').length") == 0
    assert "owned" not in browser.run("document.title")
    clean(browser, shoot.state / "gallery")


@in_browser
def test_a_clients_page_shows_no_name(browser: Chromium, shoot: Shoot) -> None:
    opened(browser, shoot.state / "gallery" / "client.html", shoot.count - 1)  # without the one that failed
    browser.run("openViewer(5); $('save').click()")
    everything = browser.run("JSON.stringify(feed) + document.documentElement.outerHTML.split('<script>')[0]")
    for secret in ("DSC", "onerror", "hazy", "cutout-s", "No subject", "2023", str(shoot.root)):
        assert secret not in everything
    assert browser.run("$('said-name').firstChild.textContent") == "No. 5"
    browser.run("$('saving').close()")
    browser.key("k", 75)
    assert browser.run("[$('keep').hidden, $('remove').hidden, pointing]") == [True, True, ""]
    browser.run("closeViewer()")
    clean(browser, shoot.state / "gallery")


@in_browser
def test_nothing_moves_under_the_eyes(browser: Chromium, shoot: Shoot) -> None:
    """Who looks further down stays there, and is told of what is new; who looks at one photo goes on doing so."""

    def more(picture: str) -> int:
        """One that was not there before, nor at an earlier try of this test."""
        return shoot.add(b"DSC_%d.jpg" % (shoot.count + 3), picture)

    opened(browser, shoot.state / "gallery" / "index.html", shoot.count)
    browser.run("choose('size', 560); scrollTo(0, 700)")
    # Cells out of sight have an estimated height until the browser comes near them: where it has come to rest.
    top = (
        "new Promise((done) => { let last = null; const look = () => {"
        " const now = document.querySelector('.cell[data-photo=\"4\"]').getBoundingClientRect().top;"
        " if (now === last) done(now); else { last = now; setTimeout(() => requestAnimationFrame(look), 100); } };"
        " look(); })"
    )
    before, scrolled = browser.run(top), browser.run("scrollY")
    assert scrolled > 100
    photo = more("astronaut")
    wait_until(lambda: browser.run("$('news').hidden") is False, "word of the new one")
    assert browser.run(top) == pytest.approx(before, abs=1)  # a pixel, for those estimates
    assert browser.run("scrollY") == scrolled
    browser.run("$('news').click()")
    assert browser.run("[order[0], scrollY]") == [photo, 0]
    browser.run("openViewer(4)")
    newer = more("astronaut")
    wait_until(lambda: browser.run("newestOf(feed.photos)") == newer, "the next, with its cutout")
    assert browser.run("[$('viewer').open, current, $('said-name').firstChild.textContent]") == [
        True,
        4,
        "DSC_3.jpg",
    ]
    browser.run(f"closeViewer(); openViewer({newer})")
    newest = more("chelsea")
    wait_until(lambda: browser.run("current") == newest, "who looks at the newest to see the newest")
    browser.run("closeViewer()")


@in_browser
@pytest.mark.alone
def test_a_thousand_photos_are_there_within_a_second(browser: Chromium, tmp_path: Path) -> None:
    shoot = Shoot(tmp_path)
    rows = [(number, b"/in", b"DSC_%d.jpg" % number, b"%d" % number) for number in range(1, 1001)]
    for row in rows:
        shoot.ledger.write(
            "INSERT INTO photos (id, inbox, path, key, state, arrived, finished)"
            " VALUES (?, ?, ?, ?, 'done', 0, 0)",
            row,
        )
        shoot.ledger.write(
            "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
            " VALUES (?, 'master', x'2f', ?, ?, ?, 'done')",
            (row[0], row[2], row[2].decode(), row[2].decode()),
        )
    shoot.ledger.commit()
    folder = tmp_path / "gallery"
    shelf = Shelf(folder, 640)
    picture = Small(encoded("coffee", "WEBP", size=(640, 427)), (640, 427), (6000, 4000))
    shots = last_shots(shoot.ledger, 1000)
    for shot in shots:
        for one in shot.pictures:
            shelf.put(shot.photo, one, picture)
    tone = Tone(gallery_id(shoot.ledger.key), client=False, live=False)
    told = feed(shots, shelf.get, lambda _photo, _picture: "", tone, Standing(0, 0, 0))
    (folder / "index.html").write_text(page(OWN))
    (folder / "index-feed.js").write_text(as_script(told))
    (folder / "index-pulse.gif").write_bytes(pulse(1))
    browser.events.clear()
    browser.open(folder / "index.html")
    # The large picture and those of the first screen are drawn, in ms since the page was asked for.
    drawn_after = browser.run(
        "new Promise((done) => { const look = () => {"
        " const there = cells.size === 1000 && hero.pair && [...document.querySelectorAll('.cell img')].slice(0, 4)"
        ".every((one) => one.complete && one.naturalWidth || one.offsetParent === null);"
        " if (there) done(performance.now()); else requestAnimationFrame(look); }; look(); })"
    )
    assert drawn_after < 1000
    # The whole sheet goes by, a screen at a time: no frame takes longer than a blink.
    longest = browser.run(
        "new Promise((done) => { let worst = 0, last = performance.now(), steps = 0; const step = () => {"
        " const now = performance.now(); worst = Math.max(worst, now - last); last = now; scrollBy(0, 400);"
        " if (++steps < 90) requestAnimationFrame(step); else done(worst); }; requestAnimationFrame(step); })"
    )
    assert longest < 250
    loaded = browser.run("[...document.images].filter((one) => one.complete && one.naturalWidth).length")
    assert loaded < 900  # only what came near the screen was read
    clean(browser, folder)


def test_without_photos_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    def asked(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cutoutd.service", "gallery", *options]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    env = {**os.environ, "CUTOUTD_STATE_DIR": str(tmp_path / "state")}
    assert "has not run here" in asked().stderr
    Shoot(tmp_path).ledger.close()
    answer = asked("-o", str(tmp_path / "g"))
    assert answer.returncode == 0, answer.stderr
    assert f"file://{tmp_path}/g/index.html  (0 photos)" in answer.stdout
    assert json.loads((tmp_path / "g" / "index-feed.js").read_text()[13:-3])["photos"] == []
    shutil.copy(__file__, tmp_path / "g" / "index.html")
    assert asked("-o", str(tmp_path / "g")).returncode == 2
    assert list((tmp_path / "state" / "gallery" / "pictures").iterdir()) == []


@in_browser
@pytest.mark.skipif(
    "CUTOUTD_SCREENSHOTS" not in os.environ, reason="for human eyes: CUTOUTD_SCREENSHOTS names a folder"
)
def test_for_human_eyes(browser: Chromium, shoot: Shoot) -> None:
    target = Path(os.environ["CUTOUTD_SCREENSHOTS"])
    screens = {"desktop": (1440, 900, 1), "phone": (390, 844, 2), "4k": (3840, 2160, 1)}
    for screen, (width, height, scale) in screens.items():
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=screen == "phone",
        )  # fmt: skip
        for mode in ("light", "dark"):
            browser.call(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}]
            )
            opened(browser, shoot.state / "gallery" / "index.html", shoot.count)
            wait_until(lambda: drawn(browser), "the large picture")
            browser.screenshot(target / f"gallery-{screen}-{mode}.png")
            browser.run("openViewer(4); choose('view', 'both')")
            wait_until(lambda: browser.run("stage.pair !== undefined"), "the picture alone")
            browser.screenshot(target / f"gallery-{screen}-{mode}-alone.png")
            browser.run("choose('view', 'after'); point('remove'); addPoint(photoNow(), 'remove', [30, 60])")
            browser.run("addPoint(photoNow(), 'keep', [85, 20])")
            wait_until(lambda: browser.run(POINTS) == "+−", "the points")
            browser.screenshot(target / f"gallery-{screen}-{mode}-points.png")
            browser.run(
                "setPoints(photoNow(), { keep: [], remove: [] }); closeViewer(); choose('view', 'after')"
            )
