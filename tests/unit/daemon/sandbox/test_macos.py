"""The macOS profile as text; that the system takes it can be tried on a Mac alone."""

from __future__ import annotations

from pathlib import Path

from cutoutd.daemon.sandbox import macos


def test_the_macos_profile_says_what_it_should() -> None:
    text = macos.profile(keep_unix=False, write=[Path('/Users/a "b"/Outbox')])
    assert text.splitlines() == [
        "(version 1)",
        "(allow default)",
        "(deny network*)",
        "(deny file-write*)",
        '(allow file-write-create file-write-data (subpath "/Users/a \\"b\\"/Outbox"))',
        '(allow file-write-data (literal "/dev/null"))',
    ]
    assert "unix-socket" in macos.profile(keep_unix=True, write=None)
    assert "file-write" not in macos.profile(keep_unix=True, write=None)
