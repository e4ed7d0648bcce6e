"""What each provider needs of the machine beyond the processor: device files and folders. Opens none of them.

A worker's files are confined (docs/PRIVACY.md), so whatever a driver opens must be known before it starts. The
supervisor asks here; it never loads ONNX Runtime, so what is installed is told from file names.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from cutoutd.models.networks.providers import PROVIDERS, Choice


class Needs(Struct, frozen=True):
    """What one provider's driver opens.

    Args:
        libraries: parts of ONNX Runtime that show that it was built with this provider.
        devices: device files to read, write and control, as patterns.
        reads: files and folders to read, as patterns.
        unconfined: why its driver cannot work with confined files; "" when it can.
        listed: all system calls it needs are on the workers' list.
    """

    libraries: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    unconfined: str = ""
    listed: bool = False


class Opened(Struct, frozen=True):
    """What a worker gets beside its photos: existing device files and folders, and why files are left alone.

    `driver` names the providers whose drivers make system calls that nobody has listed; "" for none.
    """

    devices: tuple[Path, ...] = ()
    reads: tuple[Path, ...] = ()
    unconfined: str = ""
    driver: str = ""


# From the vendors' documentation of what a container must be given; none of it was tried on the hardware by us.
# The drivers' own libraries lie in the system's library folders, which every worker may read.
NEEDS: dict[str, Needs] = {
    "cuda": Needs(
        libraries=("libonnxruntime_providers_cuda.so",),
        devices=(
            "/dev/nvidiactl",
            "/dev/nvidia[0-9]*",
            "/dev/nvidia-uvm",
            "/dev/nvidia-uvm-tools",
            "/dev/nvidia-modeset",
            "/dev/nvidia-caps/*",  # slices of one card
            "/dev/nvhost-*",  # Jetson
            "/dev/nvmap",
        ),
        reads=(
            "/proc/driver/nvidia",
            "/proc/devices",
            "/proc/modules",
            "/proc/sys/vm",
            "/sys/module/nvidia*",
            "/sys/devices/system/memory",
            "/usr/local/cuda*",
            "/usr/local/nvidia",
            "/opt/cuda",
            "/usr/share/nvidia",
        ),
    ),
    "rocm": Needs(
        libraries=("libonnxruntime_providers_migraphx.so", "libonnxruntime_providers_rocm.so"),
        unconfined="its driver compiles with programs of its own, through files in /tmp",
    ),
    "openvino": Needs(
        libraries=("libonnxruntime_providers_openvino.so",),
        devices=("/dev/dri/renderD*", "/dev/accel/accel*"),
        reads=("/dev/dri", "/dev/accel", "/etc/OpenCL", "/opt/intel", "/sys/class/drm", "/sys/dev/char"),
    ),
    # CoreML compiles the network through the user's own temporary and cache folders, by way of system services.
    "coreml": Needs(unconfined="CoreML compiles networks through folders of its own"),
    "cpu": Needs(listed=True),
}


def expected(providers: Choice) -> tuple[str, ...]:
    """The providers that a worker may try, told without loading ONNX Runtime.

    Args:
        providers: as in the settings; "auto" stands for those whose part of ONNX Runtime is installed.
    """
    if providers != "auto":
        return tuple(providers)
    folder = _runtime_folder()
    if folder is None:
        return ("cpu",)
    found = (
        name
        for name, provider in PROVIDERS.items()
        if provider.automatic and any((folder / "capi" / file).exists() for file in NEEDS[name].libraries)
    )
    return (*found, "cpu")


def opened(names: Iterable[str]) -> Opened:
    """What has to be opened for these providers on this machine; only what exists."""
    needs = [(name, NEEDS.get(name, Needs())) for name in dict.fromkeys(names)]
    reasons = [f"{name}: {need.unconfined}" for name, need in needs if need.unconfined]
    reads = _existing(pattern for _, need in needs for pattern in need.reads)
    if any(need.devices for _, need in needs):
        # Where a driver lies that no system folder holds; the loader looks here first.
        reads += tuple(
            Path(folder)
            for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":")
            if folder.startswith("/") and folder != "/" and Path(folder).is_dir()
        )
    return Opened(
        devices=_existing(pattern for _, need in needs for pattern in need.devices),
        reads=tuple(dict.fromkeys(reads)),
        unconfined="; ".join(reasons),
        driver=", ".join(name for name, need in needs if not need.listed),
    )


def _existing(patterns: Iterable[str]) -> tuple[Path, ...]:
    return tuple(Path(name) for pattern in patterns for name in sorted(glob.glob(pattern)))  # noqa: PTH207


def _runtime_folder() -> Path | None:
    """Where ONNX Runtime is installed, found without importing it."""
    loaded = sys.modules.get("onnxruntime")
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec("onnxruntime")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
