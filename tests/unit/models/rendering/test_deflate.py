"""isal's streams, read back by the standard library: whole, or in pieces made apart from each other."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest

from cutoutd.models.rendering import deflate

DATA = np.random.default_rng(5).integers(0, 40, 200_000).astype(np.uint8).tobytes() + bytes(50_000)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_streams_are_what_the_standards_say(level: int) -> None:
    assert zlib.decompress(deflate.zlib_stream(DATA, level)) == DATA
    assert zlib.decompress(b"".join(deflate.raw(DATA, level, last=True)), -15) == DATA
    assert len(deflate.zlib_stream(DATA, level)) < len(DATA)


def test_pieces_that_were_packed_apart_make_one_stream() -> None:
    cuts = [0, 1, 70_000, 70_001, len(DATA)]
    pieces = [
        piece
        for start, end in itertools.pairwise(cuts)
        for piece in deflate.raw(memoryview(DATA)[start:end], 1, last=end == len(DATA))
    ]
    assert zlib.decompress(b"".join(pieces), -15) == DATA


def test_an_unfinished_piece_is_no_end() -> None:
    reader = zlib.decompressobj(-15)
    assert reader.decompress(b"".join(deflate.raw(DATA, 1, last=False))) == DATA
    assert not reader.eof


def test_checksums_go_on_from_where_they_were() -> None:
    assert deflate.crc32(DATA[1000:], deflate.crc32(DATA[:1000])) == zlib.crc32(DATA)
    assert deflate.adler32(np.frombuffer(DATA, np.uint8)) == zlib.adler32(DATA)
