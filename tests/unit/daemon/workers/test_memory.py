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


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told, and only Linux limits")
def test_a_first_photo_that_takes_all_memory_leaves_a_worker_that_can_say_so() -> None:
    program = textwrap.dedent("""
        import resource
        from cutoutd.daemon.workers import memory
        if not memory.keep_freed_memory():
            raise SystemExit(3)
        resource.setrlimit(resource.RLIMIT_DATA, (100 << 20, 100 << 20))
        def photo():
            taken = []
            try:
                while True:
                    taken.append(bytearray(1 << 20))
            except MemoryError:
                return len(taken)
        rest = memory.IdleRelease()
        rest.begin()
        first = photo()
        rest.end()  # no thread can be had: kept memory counts against the limit
        rest.begin()
        second = photo()
        memory.give_back()
        rest.end()
        print(first > 50, second > 50)
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if run.returncode == 3:
        pytest.skip("this C library is not glibc")
    assert run.stdout.split() == ["True", "True"], run.stderr


def test_where_no_thread_can_be_had_memory_is_given_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[bool] = []
    memory = IdleRelease(lambda: released.append(True))

    def no_memory_for_it(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_memory_for_it)
        memory.begin()
        memory.end()
        assert released == [True]
    memory.begin()
    memory.end()  # tried again: from now on it is kept for a while
    assert released == [True]
