"""The one door to ONNX Runtime: nothing else imports it, so that nowhere its telemetry is on when it loads."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

from cutoutd.config.errors import EngineError
from cutoutd.config.installing import pip_install


@cache
def runtime() -> Any:
    """The ONNX Runtime module, telemetry off and its own chatter to errors only.

    Raises:
        EngineError: it is not installed or cannot load.
    """
    # The call below comes too late for the import itself, which writes a device number below the home folder
    # and starts collecting (seen with 1.31.1 on Linux); this variable is read before that.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        ort = import_module("onnxruntime")
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime cannot be loaded ({error})",
            fix=f"Install it again: `{pip_install('--force-reinstall', 'onnxruntime')}`.",
        ) from error
    ort.disable_telemetry_events()
    ort.set_default_logger_severity(4)  # what matters comes as exceptions, which are named and explained
    return ort
