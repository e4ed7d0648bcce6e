"""Memory between two photos: kept while they come in a row, given back after a rest."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest

from cutoutd.daemon.workers.memory import IdleRelease

pytestmark = pytest.mark.slow


def test_memory_is_given_back_once_after_a_rest() -> None:
    released = threading.Semaphore(0)
    memory = IdleRelease(released.release, after_s=0.01)
    memory.begin()
    memory.end()
    assert released.acquire(timeout=20)
    assert not released.acquire(timeout=0.2), "nothing was used since: nothing to give back"
    memory.begin()
    memory.end()
    assert released.acquire(timeout=20)


def test_nothing_is_given_back_while_a_photo_is_in_hand() -> None:
    released = threading.Event()
    memory = IdleRelease(released.set, after_s=0.01)
    memory.begin()
    memory.end()
    memory.begin()
    released.clear()  # it may have come between the two photos, however short that was
    assert not released.wait(0.2)
    memory.end()
    assert released.wait(20)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_freed_memory_stays_until_it_is_given_back() -> None:
    program = textwrap.dedent("""
        from pathlib import Path
        from cutoutd.daemon.workers import memory
        if not memory.keep_freed_memory():
            raise SystemExit(3)
        def resident_mb():
            return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
        def photo():
            return [bytearray(b"x") * (60 << 20) for _ in range(4)]
        bare = resident_mb()
        photo()
        kept = resident_mb()
        memory.give_back()
        print(bare, kept, resident_mb())
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if run.returncode == 3:
        pytest.skip("this C library is not glibc")
    bare, kept, after = map(int, run.stdout.split())
    assert kept > bare + 200
    assert after < bare + 60


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_the_memory_of_a_very_large_photo_is_given_back_at_once() -> None:
    program = textwrap.dedent("""
        from cutoutd.daemon.workers import memory, process
        if not memory.keep_freed_memory():
            raise SystemExit(3)
        def photo(megabytes):
            return len([bytearray(b"x") * (60 << 20) for _ in range(megabytes // 60)])
        photo(240)
        print(process._resident_after() >> 20)
        photo((memory.KEEP_BYTES >> 20) + 60)
        print(process._resident_after() >> 20)
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if run.returncode == 3:
        pytest.skip("this C library is not glibc")
    small, large = map(int, run.stdout.split())
    assert small > 240, "kept for the next photo"
    assert large < 200
