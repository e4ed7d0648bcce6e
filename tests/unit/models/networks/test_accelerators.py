"""What an accelerator's driver may open: told from a table and from what is installed, without loading the engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.models.networks import accelerators
from cutoutd.models.networks.accelerators import NEEDS, Needs, Opened, expected, opened
from cutoutd.models.networks.providers import PROVIDERS


def test_every_provider_has_its_needs_said() -> None:
    assert set(NEEDS) == set(PROVIDERS)
    for needs in NEEDS.values():
        assert all(pattern.startswith("/dev/") for pattern in needs.devices)
        assert all(pattern.count("/") > 1 for pattern in needs.reads)  # no whole /dev, /etc or /home


def test_the_processor_opens_nothing() -> None:
    assert opened(["cpu"]) == Opened()


def test_named_providers_are_taken_at_their_word() -> None:
    assert expected(["cuda", "cpu"]) == ("cuda", "cpu")


def test_auto_expects_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "capi").mkdir()
    monkeypatch.setattr(accelerators, "_runtime_folder", lambda: tmp_path)
    assert expected("auto") == ("cpu",)
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    (tmp_path / "capi" / "libonnxruntime_providers_openvino.so").touch()
    assert expected("auto") == ("cuda", "openvino", "cpu")
    monkeypatch.setattr(accelerators, "_runtime_folder", lambda: None)
    assert expected("auto") == ("cpu",)


@pytest.mark.slow
def test_the_engine_is_not_loaded_to_find_out() -> None:
    script = (
        "import sys; from cutoutd.models.networks.accelerators import expected, opened; opened(expected('auto'))\n"
        "print(sorted({'onnxruntime', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_what_exists_is_opened_and_libraries_of_ones_own_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("card0", "card1", "driver"):
        (tmp_path / name).touch()
    needs = Needs(devices=(f"{tmp_path}/card*", f"{tmp_path}/none*"), reads=(f"{tmp_path}/driver",))
    monkeypatch.setitem(NEEDS, "stand-in", needs)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}:relative:/:/not/there")
    found = opened(["stand-in", "cpu", "stand-in"])
    assert found.devices == (tmp_path / "card0", tmp_path / "card1")
    assert found.reads == (tmp_path / "driver", tmp_path)
    assert found.unconfined == ""


def test_a_driver_that_cannot_be_confined_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, "stand-in", Needs(unconfined="it writes to the moon"))
    assert opened(["stand-in", "cpu"]).unconfined == "stand-in: it writes to the moon"
