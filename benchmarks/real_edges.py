"""Edge quality on crops of real photos with wanted alphas: `python benchmarks/real_edges.py --crops FOLDER`.

Each crop is three files: NAME.webp (the photo), NAME.png (its alpha), NAME_coarse.png (what a network answered there,
seeing the whole photo). Every row gets the same answer, at one sample for 3.1 pixels, as 320 pixels stand for 1,000:
that one, or one made of the truth. Errors in per cent within six pixels of the true edge; ratios against bilinear.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from edges import METHODS, Bytes, Plane
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIDE, SAMPLES = 200, 64
NEAR = 6  # pixels
HAIR = (
    Path(__file__).parents[1] / "models" / "training" / "refiner_crops.txt"
)  # crops of hair, which are not judged


def brought(image: Image.Image, side: int) -> Image.Image:
    """A square image at another size."""
    return image.resize(
        (side, side), Image.Resampling.BOX if side < image.width else Image.Resampling.BILINEAR
    )


def seen(alpha: Bytes, blur: float | None) -> Plane:
    """What a network might answer: `alpha` as it is, or cut at one half and blurred by so many samples."""
    if blur is None:
        return np.asarray(brought(Image.fromarray(alpha), SAMPLES), np.float32) / np.float32(255)
    hard = brought(Image.fromarray(np.where(alpha > 127, 255, 0).astype(np.uint8)), SAMPLES)
    return np.asarray(hard.filter(ImageFilter.GaussianBlur(blur)), np.float32) / np.float32(255)


def edge_band(truth: Bytes) -> NDArray[np.bool_]:
    """Where the error counts."""
    whole, window = Image.fromarray(truth), 2 * NEAR + 1
    low, high = (
        np.asarray(whole.filter(of(window))) for of in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    return (high > 5) & (low < 250)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument(
        "--every", type=int, default=4, help="one crop in so many; the edge network learned from the others"
    )
    options = parser.parse_args()
    hair = set(HAIR.read_text("utf-8").splitlines())
    names = [
        path.stem for path in sorted(options.crops.glob("*.webp"))[:: options.every] if path.stem not in hair
    ]
    errors: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name in names:
        photo = np.asarray(brought(Image.open(options.crops / f"{name}.webp").convert("RGB"), SIDE))
        truth = np.asarray(brought(Image.open(options.crops / f"{name}.png").convert("L"), SIDE))
        coarse = np.asarray(Image.open(options.crops / f"{name}_coarse.png").convert("L"))
        answers = {
            "blurred": seen(truth, 1.5),
            "sharp": seen(truth, 0.7),
            "a network's own": seen(coarse, None),
        }
        band = edge_band(truth)
        for kind, answer in answers.items():
            for method, cut in METHODS.items():
                off = np.abs(cut(answer, photo)[0][band].astype(np.float64) - truth[band]) / 255
                errors.setdefault((kind, method), []).append((100 * off.mean(), 100 * (off**2).mean()))
    print(f"{len(names)} crops")
    for (kind, method), each in errors.items():
        (mean, square), (plain, plain_square) = (
            np.mean(errors[kind, one], 0) for one in (method, "bilinear")
        )
        print(
            f"{kind:16} {method:24} error {mean:6.2f} ({plain / mean:.2f}x)  "
            f"squared {square:6.2f} ({plain_square / square:.2f}x)  median {np.median([one for one, _ in each]):6.2f}"
        )


if __name__ == "__main__":
    main()
