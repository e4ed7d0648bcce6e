"""Writes a finished eight-bit network as ONNX Runtime would rewrite it at every load: the same bits, half the start.

Not for changing arithmetic (`quantise`, which calls this at its end). A file already published is done by::

    python -m cutoutd.models.training.streamline models/bundled/cutout-m.onnx
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from cutoutd.models.training.export import Feed, feed_of, plain_scene, run_onnx, strange_pictures, update_toml
from cutoutd.models.training.terminal import say


def rewritten(network: Path, out: Path) -> None:
    """Write the network as ONNX Runtime runs it on any processor: what is tied to one kind of processor is left out.

    Loading takes half the time then. Its operators are those of the runtime on a processor; accelerators know few of
    them.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3  # it warns that such a file is tied to the kind of provider, as said above
    onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


def streamline(network: Path, *, kind: str = "", side: int = 320) -> None:
    """Rewrite a file in place.

    Raises:
        SystemExit: an answer has other bits afterwards; the file stays as it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder) / "done.onnx"
        rewritten(network, done)
        for picture in (plain_scene(side), *strange_pictures(side)):
            feed: Feed = feed_of(picture, kind)
            if not np.array_equal(run_onnx(network, feed), run_onnx(done, feed)):
                raise SystemExit("Not written: the answer changes.")
        network.write_bytes(done.read_bytes())
    update_toml(network)


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.streamline", description=__doc__.split("\n")[0]
    )
    p.add_argument("network", type=Path)
    p.add_argument("--kind", default="", help='"decider" for the deciding network')
    p.add_argument("--side", type=int, default=320)
    options = p.parse_args()
    streamline(options.network, kind=options.kind, side=options.side)
    say(f"{options.network}: {options.network.stat().st_size} bytes")


if __name__ == "__main__":
    main()
