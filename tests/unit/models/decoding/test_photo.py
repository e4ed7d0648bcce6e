"""Reading files, limits, and the name that each bad input gets."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import socket
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cutoutd.config.errors import PhotoChangedError, PhotoError, Reason
from cutoutd.models.decoding import photo
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_bytes, read_header

LIMITS = PhotoLimits(max_bytes=10_000_000, max_megapixels=1.0)


def encoded(kind: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    y, x = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([x * 3 % 256, y * 5 % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def failure(data: bytes, name: str = "DSC_1.jpg", limits: PhotoLimits = LIMITS) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        decode(data, read_header(data, name, limits))
    assert str(caught.value.path) == name
    assert "Traceback" not in str(caught.value)
    return caught.value


# --- reading


def test_reading_gives_the_bytes_their_digest_and_the_facts_of_the_file(tmp_path: Path) -> None:
    data = encoded("JPEG")
    path = tmp_path / "DSC_1.jpg"
    path.write_bytes(data)
    got = read_bytes(path, LIMITS)
    facts = path.stat()
    assert got.data == data
    assert got.digest == hashlib.blake2b(data, digest_size=32).hexdigest()
    assert (got.size, got.mtime_ns, got.inode, got.device) == (
        len(data),
        facts.st_mtime_ns,
        facts.st_ino,
        facts.st_dev,
    )


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(path)).write_bytes(b"x")
    assert read_bytes(path, LIMITS).data == b"x"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.jpg").write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    with pytest.raises(PhotoError) as caught:
        read_bytes(tmp_path / "link.jpg", LIMITS)
    assert caught.value.reason is Reason.NOT_A_REGULAR_FILE


def test_a_fifo_a_folder_a_device_and_a_socket_are_no_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")  # nobody writes into it: a blocking open would wait for ever
    (tmp_path / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "socket.jpg"))
        for path in (
            tmp_path / "fifo.jpg",
            tmp_path / "folder.jpg",
            tmp_path / "socket.jpg",
            Path("/dev/null"),
        ):
            with pytest.raises(PhotoError) as caught:
                read_bytes(path, LIMITS)
            assert caught.value.reason is Reason.NOT_A_REGULAR_FILE, path


def test_an_empty_file_is_unreadable_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "DSC_1.jpg"
    path.touch()
    with pytest.raises(PhotoError, match="empty") as caught:
        read_bytes(path, LIMITS)
    assert caught.value.reason is Reason.UNREADABLE


def test_too_many_bytes_names_the_limit_and_the_setting_and_reads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)  # sparse: reading it would take minutes and all memory
    with pytest.raises(PhotoError, match=r"10\.0 MB.*limits\.max_bytes") as caught:
        read_bytes(path, LIMITS)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_missing_file_has_vanished(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.jpg", tmp_path / "gone" / "x.jpg"):
        with pytest.raises(PhotoError) as caught:
            read_bytes(path, LIMITS)
        assert caught.value.reason is Reason.VANISHED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_without_permission_the_fix_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0o600)
    tmp_path.chmod(0o755)
    child = os.fork()
    if child == 0:  # root may read everything, so the question is asked as nobody
        code = 1
        try:
            os.chdir(tmp_path)
            os.setuid(65534)
            read_bytes(b"secret.jpg", LIMITS)
        except PhotoError as exc:
            code = 0 if exc.reason is Reason.NO_PERMISSION and "chmod" in exc.fix else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EBUSY, Reason.BUSY),
        (errno.ETXTBSY, Reason.BUSY),
        (errno.EAGAIN, Reason.BUSY),
        (errno.EACCES, Reason.NO_PERMISSION),
        (errno.EPERM, Reason.NO_PERMISSION),
        (errno.ESTALE, Reason.VANISHED),
        (errno.EIO, Reason.UNREADABLE),
    ],
)
def test_every_error_of_the_system_has_a_name(
    number: int, reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(photo.os, "open", refuse)
    with pytest.raises(PhotoError) as caught:
        read_bytes(tmp_path / "x.jpg", LIMITS)
    assert caught.value.reason is reason


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "DSC_1.jpg"
    path.write_bytes(b"x" * 1000)
    honest = os.fstat
    calls: list[int] = []

    def fstat(handle: int) -> os.stat_result:
        facts = honest(handle)
        if not calls:  # between the first look and the reading
            calls.append(handle)
            if change == "touch":
                os.utime(path, ns=(1, 1))
            else:
                os.truncate(path, 2000 if change == "grow" else 10)
        return facts

    monkeypatch.setattr(photo.os, "fstat", fstat)
    with pytest.raises(PhotoChangedError):
        read_bytes(path, LIMITS)


def test_failures_survive_the_way_between_processes() -> None:
    error = failure(b"no photo at all", "DSC_1.jpg")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert (again.reason, str(again)) == (error.reason, str(error))


# --- what bad input gets


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_photo_is_unreadable(kind: str, part: float) -> None:
    data = encoded(kind, (200, 160))
    error = failure(data[: int(len(data) * part)])
    assert error.reason is Reason.UNREADABLE
    assert error.what[0].isupper()
    assert "again" in error.fix


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_the_content_decides_not_the_name(kind: str) -> None:
    data = encoded(kind)
    header = read_header(data, "lies.xyz", LIMITS)
    assert (header.width, header.height) == (64, 48)
    assert header.megapixels == pytest.approx(0.003072)
    assert decode(data, header).rgb.shape == (48, 64, 3)


def test_too_many_pixels_names_the_limit_and_the_setting() -> None:
    data = encoded("PNG", (1200, 1000))
    error = failure(data)
    assert error.reason is Reason.TOO_LARGE
    assert "1.2 megapixels (1200 × 1000)" in str(error)
    assert "limits.max_megapixels" in str(error)


def test_limits_above_pillows_own_are_honoured() -> None:
    # Pillow alone refuses anything over 179 megapixels; what counts is the user's setting.
    data = bomb_png(20_000, 10_000)
    assert read_header(data, "x.png", PhotoLimits(10**9, 250)).megapixels == 200


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb_png(width: int, height: int) -> bytes:
    """A few bytes that claim a huge picture."""
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bomb_gif() -> bytes:
    data = bytearray(encoded("GIF"))
    data[6:10] = struct.pack("<2H", 65535, 65535)
    return bytes(data)


def bomb_tiff() -> bytes:
    data = encoded("TIFF")
    lie = data.replace(struct.pack("<HHII", 256, 4, 1, 64), struct.pack("<HHII", 256, 4, 1, 1 << 30))
    assert lie != data
    return lie


def bomb_bmp() -> bytes:
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<2i", 60_000, 60_000)
    return bytes(data)


def bomb_jpeg() -> bytes:
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">2H", 65_500, 65_500)
    return bytes(data)


def bomb_avif() -> bytes:
    data = bytearray(encoded("AVIF"))
    at = data.index(b"ispe")
    data[at + 8 : at + 16] = struct.pack(">2I", 30_000, 8_000)
    return bytes(data)


@pytest.mark.parametrize(
    "bomb", [lambda: bomb_png(60_000, 60_000), bomb_gif, bomb_tiff, bomb_bmp, bomb_jpeg, bomb_avif]
)
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(
    bomb: Callable[[], bytes],
) -> None:
    with pytest.raises(PhotoError) as caught:
        read_header(bomb(), "bomb", PhotoLimits(10**9, 150))
    assert caught.value.reason in (Reason.TOO_LARGE, Reason.UNREADABLE)


def test_a_header_that_claims_too_much_within_limits_is_unreadable_not_invented() -> None:
    assert failure(bomb_png(900, 900), "x.png").reason is Reason.UNREADABLE


# What stands before the packed bytes: keyword, flags, language and translated keyword.
PACKED = [(b"iCCP", b"LUT\0\0"), (b"zTXt", b"history\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")]


def with_packed(kind: bytes, head: bytes, size: int, count: int = 1) -> bytes:
    """A sound PNG with chunks that unpack to `size` bytes each."""
    data, end = encoded("PNG"), len(b"\x89PNG\r\n\x1a\n") + 25  # after IHDR
    return data[:end] + count * chunk(kind, head + zlib.compress(bytes(size))) + data[end:]


@pytest.mark.parametrize(("kind", "head"), PACKED)
def test_a_png_with_a_large_profile_or_history_is_a_photo(kind: bytes, head: bytes) -> None:
    data = with_packed(kind, head, 3_000_000)
    assert decode(data, read_header(data, "x.png", LIMITS)).rgb.shape == (48, 64, 3)


def test_a_packed_bomb_in_place_of_a_profile_is_named() -> None:
    error = failure(with_packed(*PACKED[0], 20_000_000), "x.png")
    assert error.reason is Reason.UNREADABLE
    assert "unpacks to more" in error.what


@pytest.mark.parametrize(("kind", "head"), PACKED[1:])
@pytest.mark.parametrize(("size", "count"), [(20_000_000, 1), (15_000_000, 5)])
def test_packed_texts_of_a_png_are_never_unpacked(kind: bytes, head: bytes, size: int, count: int) -> None:
    data = with_packed(kind, head, size, count)
    plain = decode(encoded("PNG"), read_header(encoded("PNG"), "x.png", LIMITS)).rgb
    tracemalloc.start()
    try:
        got = decode(data, read_header(data, "x.png", LIMITS)).rgb
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (got == plain).all()
    assert peak < size


@pytest.mark.parametrize(
    ("data", "name", "reason", "words"),
    [
        (b"%PDF-1.7 ...", "scan.pdf", Reason.NOT_A_PHOTO, "PDF"),
        (b"%PDF-1.7 ...", "scan.jpg", Reason.UNREADABLE, "PDF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isom", "clip.mp4", Reason.NOT_A_PHOTO, "video"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0qt  ", "clip.heic", Reason.UNREADABLE, "video"),
        (b"shot list for Monday\n", "notes.txt", Reason.NOT_A_PHOTO, "text"),
        (b"<html>404</html>", "DSC_2.jpg", Reason.UNREADABLE, "text"),
        (b"\xff\x0a" + bytes(50), "new.jxl", Reason.UNREADABLE, "JPEG XL"),
        (b"8BPS" + bytes(50), "layers.psd", Reason.UNREADABLE, "Photoshop"),
        (bytes(5000), "DSC_3.jpg", Reason.UNREADABLE, "empty space"),
        (os.urandom(3000), "DSC_4.jpg", Reason.UNREADABLE, "no format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "logo.png", Reason.UNREADABLE, "PostScript"),
    ],
)
def test_strangers_are_called_by_their_name(data: bytes, name: str, reason: Reason, words: str) -> None:
    error = failure(data, name)
    assert error.reason is reason
    assert words in error.what


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.7 ...", "Export its page as JPEG"),
        (b"PK\x03\x04" + bytes(50), "Unpack it"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isom", "Export a frame of it"),
        (b"8BPS" + bytes(50), "Export it as JPEG"),
        (b"ID3" + bytes(50), "There is no picture in it"),
        (b"<html>404</html>", "Copy it again"),
        (bytes(5000), "Copy it again"),
    ],
)
def test_another_copy_is_asked_for_only_where_it_helps(data: bytes, words: str) -> None:
    assert failure(data, "DSC_1.jpg").fix.startswith(words)
    assert failure(data, "DSC_1.bin").fix in (failure(data, "DSC_1.jpg").fix, "")


def test_out_of_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(photo.pillow, "load", starve)
    error = failure(encoded("PNG"))
    assert error.reason is Reason.OUT_OF_MEMORY
    assert "limits.max_megapixels" in error.fix


def test_warnings_of_the_decoders_stay_inside_and_pillows_settings_stay_as_they_were() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 900) + bytes(30)  # a directory cut short
    data = encoded("JPEG", exif=exif)
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        header = read_header(data, "x.jpg", LIMITS)
        assert decode(data, header).rgb.shape == (48, 64, 3)
    assert not seen
    assert before == (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)


def test_no_other_decoder_of_pillow_is_ever_tried() -> None:
    for kind, name in (("PPM", "x.ppm"), ("TGA", "x.tga"), ("PCX", "x.pcx"), ("ICO", "x.ico")):
        assert failure(encoded(kind), name).reason in (Reason.UNREADABLE, Reason.NOT_A_PHOTO)


def test_only_a_jpeg_is_made_smaller_and_says_what_size_the_photo_has() -> None:
    for kind, shape in (("JPEG", (24, 32, 3)), ("PNG", (48, 64, 3))):
        data = encoded(kind)
        got = decode(data, read_header(data, "photo", LIMITS), reduction=2)
        assert got.rgb.shape == shape
        assert (got.header.width, got.header.height) == (64, 48)
