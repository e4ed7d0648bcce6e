"""Edge quality on synthetic mattes with exact truth: `python benchmarks/edges.py --picture edges.png`.

Every row gets the same alpha, as a network would have answered it. Ratios are against bilinear resampling
with the photo's own (mixture) colours; SAD in thousands of pixels, MSE x1000, gradient error in thousands,
fringe = mean RGB distance to the true foreground colour over the true edge, weighted by the row's own alpha.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from synthetic_mattes import LOOKS, SCENES, THIN, Matte, look, network_like, perfect, scene, textures

from cutoutd.models.evaluation.solidity import share_of, thinned
from cutoutd.models.matting.matte import Engine, refine
from cutoutd.models.networks.catalog import STANDARD, catalogue
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.strays import tidied

Plane = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Cut = tuple[Bytes, Bytes]

ANSWERS: dict[str, Callable[[Plane], Plane]] = {
    "network-like, blurred": lambda alpha: network_like(alpha, sigma=1.5),
    "network-like, sharp": lambda alpha: network_like(alpha, sigma=0.5),
    "the truth at 320 px": perfect,
}
MEASURES = ("SAD", "MSE", "grad", "fringe")
# Answers made by a threshold call a half-transparent sheet opaque, or nothing, over all its area: no edge engine
# can know better, and that area outweighs every edge. Ratios are printed with and without these scenes.
SHEETS = ("veil",)


def resample(alpha: Plane, photo: Bytes, how: Image.Resampling) -> Cut:
    """Plain resampling, mixture colours."""
    size = (photo.shape[1], photo.shape[0])
    full = np.asarray(Image.fromarray(alpha).resize(size, how))
    return (np.clip(full, 0, 1) * 255 + 0.5).astype(np.uint8), photo


def rembg(alpha: Plane, photo: Bytes) -> Cut:
    """What rembg does to a network's output: stretch min to max, 8 bits, Lanczos; mixture colours."""
    low, high = float(alpha.min()), float(alpha.max())
    eight = Image.fromarray((((alpha - low) / (high - low)) * 255).astype(np.uint8))
    return np.asarray(eight.resize((photo.shape[1], photo.shape[0]), Image.Resampling.LANCZOS)), photo


def rembg_post(alpha: Plane, photo: Bytes) -> Cut:
    """The same with its post-process-mask: opening by a 3x3 cross, blur with sigma 2, threshold."""
    mask = rembg(alpha, photo)[0]
    opened = 255 - _cross_maximum(255 - mask)
    opened = _cross_maximum(opened)
    smooth = np.asarray(Image.fromarray(opened).filter(ImageFilter.GaussianBlur(2)))
    return np.where(smooth < 127, 0, 255).astype(np.uint8), photo


def rembg_decontaminated(alpha: Plane, photo: Bytes) -> Cut:
    """The same mask with its colour decontamination: the subject's colour estimated by pymatting."""
    import pymatting  # type: ignore[import-untyped]

    solver: Any = pymatting
    mask = rembg(alpha, photo)[0]
    return mask, _bytes(solver.estimate_foreground_ml(photo / 255.0, mask / 255.0))


def rembg_matting(alpha: Plane, photo: Bytes) -> Cut:
    """The same with its alpha matting at its own settings: above 240 subject, below 10 background, eroded by 10."""
    import pymatting  # type: ignore[import-untyped]
    from scipy import ndimage  # type: ignore[import-untyped]

    solver: Any = pymatting
    filters: Any = ndimage
    mask, square = rembg(alpha, photo)[0], np.ones((10, 10))
    subject: NDArray[np.bool_] = filters.binary_erosion(mask > 240, square)
    background: NDArray[np.bool_] = filters.binary_erosion(mask < 10, square, border_value=1)
    trimap = np.where(subject, 1.0, np.where(background, 0.0, 0.5))
    solved: NDArray[np.float64] = solver.estimate_alpha_cf(photo / 255.0, trimap)
    colour: NDArray[np.float64] = solver.estimate_foreground_ml(photo / 255.0, solved)
    return _bytes(solved), _bytes(colour)


def _bytes(values: NDArray[np.float64]) -> Bytes:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def _cross_maximum(mask: Bytes) -> Bytes:
    p = np.pad(mask, 1, mode="edge")
    parts = [p[1:-1, 1:-1], p[:-2, 1:-1], p[2:, 1:-1], p[1:-1, :-2], p[1:-1, 2:]]
    return np.maximum.reduce(parts)


def engine(name: Engine) -> Callable[[Plane, Bytes], Cut]:
    """One of cutoutd's own."""
    return lambda alpha, photo: refine(alpha, photo, engine=name)


METHODS: dict[str, Callable[[Plane, Bytes], Cut]] = {
    "bilinear": lambda a, p: resample(a, p, Image.Resampling.BILINEAR),
    "Lanczos": lambda a, p: resample(a, p, Image.Resampling.LANCZOS),
    "rembg": rembg,
    "rembg, post-processed": rembg_post,
    "cutoutd plain": engine("plain"),
    "cutoutd guided": engine("guided"),
    "cutoutd learned": engine("learned"),
}


# Seconds a scene: only where asked for.
SLOW: dict[str, Callable[[Plane, Bytes], Cut]] = {
    "rembg, decontaminated": rembg_decontaminated,
    "rembg, alpha matting": rembg_matting,
}


def measure(cut: Cut, truth: Matte) -> NDArray[np.float64]:
    """The four measures of one cut, in the order of MEASURES; lower is better."""
    alpha, colour = cut[0] / 255.0, cut[1] / 255.0
    error = alpha - truth.alpha
    own, true = steepness(alpha), steepness(truth.alpha)
    edge = alpha * ((truth.alpha > 0.02) & (truth.alpha < 0.98))
    distance = np.sqrt(((colour - truth.foreground) ** 2).sum(2))
    fringe = (distance * edge).sum() / max(edge.sum(), 1e-9)
    return np.array(
        [np.abs(error).sum() / 1000, (error**2).mean() * 1000, ((own - true) ** 2).sum() / 1000, fringe]
    )


def steepness(alpha: NDArray[Any]) -> NDArray[np.float64]:
    """The length of the gradient at every pixel."""
    down, across = np.gradient(np.asarray(alpha, np.float64))
    return np.asarray(np.hypot(down, across), np.float64)


def table(title: str, scenes: list[Matte], answer: Callable[[Plane], Plane]) -> None:
    """Prints means over the scenes, each method against bilinear, and the worst scene's ratio."""
    print(f"\n{title}, {len(scenes)} scenes of {scenes[0].photo.shape[1]} x {scenes[0].photo.shape[0]}")
    print(f"{'':24}" + "".join(f"{m:>9}" for m in MEASURES) + "   ratio to bilinear (median of scenes)")
    base: NDArray[np.float64] | None = None
    solid = np.array([s.name not in SHEETS for s in scenes])
    for name, method in METHODS.items():
        scores = np.array([measure(method(answer(s.alpha), s.photo), s) for s in scenes])
        base = scores if base is None else base
        ratio, single = base.mean(0) / scores.mean(0), np.median(base / scores, axis=0)
        cells = "".join(f"{v:9.3f}" for v in scores.mean(0))
        ratios = "  ".join(f"{m} {r:.2f}x ({s:.2f})" for m, r, s in zip(MEASURES, ratio, single, strict=True))
        print(f"{name:24}{cells}   {ratios}", flush=True)
        if solid.any() and not solid.all():
            ratio = base[solid].mean(0) / scores[solid].mean(0)
            cells = "  ".join(f"{m} {r:.2f}x" for m, r in zip(MEASURES, ratio, strict=True))
            print(f"{'':60}   without sheets: {cells}", flush=True)
    if base is not None and solid.any() and not solid.all():
        most = base.sum(0) / base[~solid].sum(0)
        cells = "  ".join(f"{m} {r:.2f}x" for m, r in zip(MEASURES, most, strict=True))
        print(f"{'no error but the sheets as bilinear has them':60}   {cells}", flush=True)


def thin_parts(seeds: int, answer: Callable[[Plane], Plane], sources: list[Bytes]) -> None:
    """Prints, for each kind of thin part and method, which share of the truth's skeleton has alpha above .5."""
    print(
        f"\nskeleton recall, {seeds} scenes of each kind\n{'':24}" + "".join(f"{kind:>10}" for kind in THIN)
    )
    scenes = {kind: [scene(kind, seed, sources) for seed in range(seeds)] for kind in THIN}
    bones = {kind: [thinned(s.alpha > 0.5) for s in some] for kind, some in scenes.items()}
    for name, method in METHODS.items():
        cells = list[str]()
        for kind, some in scenes.items():
            alphas = [method(answer(s.alpha), s.photo)[0] for s in some]
            recall = [share_of(a > 127, bone) for a, bone in zip(alphas, bones[kind], strict=True)]
            cells.append(f"{statistics.mean(recall):10.3f}")
        print(f"{name:24}{''.join(cells)}", flush=True)


def on_green(colour: NDArray[Any], alpha: NDArray[Any]) -> Bytes:
    """Colour 0..255 over a flat green by alpha 0..1."""
    green = np.array([0, 177, 64], np.float32)
    share = np.asarray(alpha, np.float32)[:, :, None]
    return np.asarray(colour * share + green * (1 - share) + 0.5, np.float32).astype(np.uint8)


def picture(scenes: list[Matte], answer: Callable[[Plane], Plane], path: Path) -> None:
    """Crops side by side on a flat green: the photo, each method, the truth."""
    rows: list[Bytes] = []
    for truth in scenes:
        y, x = crop_of(truth.alpha)
        window = np.s_[y : y + 160, x : x + 160]
        cells = list[Bytes]()
        cells.append(np.asarray(truth.photo[window], np.uint8))
        for method in METHODS.values():
            alpha, colour = method(answer(truth.alpha), truth.photo)
            cells.append(on_green(colour[window], alpha[window] / 255))
        cells.append(on_green(truth.foreground[window] * 255, truth.alpha[window]))
        rows.append(np.concatenate(cells, axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)
    print(f"\n{path}: photo, {', '.join(METHODS)}, truth")


def looks(path: Path, width: int = 360) -> None:
    """Whole scenes on a flat green: the photo, the bundled network's own answer, two engines, the truth."""
    segmenter = Segmenter(catalogue()[STANDARD], threads=1)
    names: tuple[Engine, ...] = ("guided", "learned")
    rows: list[Bytes] = []
    for name in LOOKS:
        truth = look(name, 1)
        answer = tidied(segmenter.alpha(truth.photo))
        grey = resample(answer, truth.photo, Image.Resampling.BILINEAR)[0]
        cells = [truth.photo, np.repeat(grey[:, :, None], 3, axis=2)]
        for engine_name in names:
            alpha, colour = refine(answer, truth.photo, engine=engine_name)
            cells.append(on_green(colour, alpha / 255))
        cells.append(on_green(truth.foreground * 255, truth.alpha))
        size = (width, width * truth.alpha.shape[0] // truth.alpha.shape[1])
        small = [np.asarray(Image.fromarray(cell).resize(size, Image.Resampling.BOX)) for cell in cells]
        rows.append(np.concatenate(small, axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)
    print(
        f"\n{path}, rows: {', '.join(LOOKS)}; columns: photo, the network's answer, {', '.join(names)}, truth"
    )


def crop_of(alpha: Plane, side: int = 160) -> tuple[int, int]:
    """The corner of the crop with most edge in it."""
    between = ((alpha > 0.02) & (alpha < 0.98)).astype(np.float32)
    sums = np.asarray(Image.fromarray(between).resize((40, 30), Image.Resampling.BOX))
    windows = np.lib.stride_tricks.sliding_window_view(sums, (side // 20, side // 20)).sum((2, 3))
    y, x = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(y) * alpha.shape[0] // 30, int(x) * alpha.shape[1] // 40


def timing(repeats: int) -> None:
    """Wall and processor milliseconds for 24 megapixels from a 320 px alpha, one thread."""
    photo = np.asarray(Image.fromarray(textures()[0]).resize((6000, 4000), Image.Resampling.BICUBIC))
    y, x = np.mgrid[0:320, 0:320] / 320
    alpha = np.clip((0.35 - np.hypot(y - 0.5, (x - 0.5) / 0.6)) * 40 + 0.5, 0, 1).astype(np.float32)
    print(f"\n6000 x 4000 from 320 px, medians of {repeats}")
    names: tuple[Engine, ...] = ("plain", "guided", "learned")
    for name in names:
        refine(alpha, photo, engine=name)
        wall, cpu = list[float](), list[float]()
        for _ in range(repeats):
            begun, used = time.perf_counter(), time.process_time()
            refine(alpha, photo, engine=name)
            wall.append((time.perf_counter() - begun) * 1000)
            cpu.append((time.process_time() - used) * 1000)
        print(f"{name:8} {statistics.median(wall):6.0f} ms, processor {statistics.median(cpu):6.0f} ms")


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2, help="scenes of each kind")
    parser.add_argument("--scenes", nargs="*", choices=sorted(SCENES), default=list(SCENES))
    parser.add_argument("--picture", type=Path, help="write crops side by side")
    parser.add_argument("--looks", type=Path, help="write whole scenes as the bundled network answers them")
    parser.add_argument("--thin", action="store_true", help="only thin parts: straps, spokes and the like")
    parser.add_argument("--timing", type=int, default=0, help="repeats of the 24 megapixel timing")
    parser.add_argument(
        "--matting", action="store_true", help="rembg's two slow ways as well (needs pymatting and scipy)"
    )
    args = parser.parse_args()
    if args.matting:
        METHODS.update(SLOW)
    sources = textures()
    if args.thin:
        answer = ANSWERS["network-like, blurred"]
        thin_parts(args.seeds, answer, sources)
        if args.picture:
            picture([scene(kind, 0, sources) for kind in THIN], answer, args.picture)
        return
    scenes = [scene(name, seed, sources) for name in args.scenes for seed in range(args.seeds)]
    for title, answer in ANSWERS.items():
        table(title, scenes, answer)
    if args.picture:
        picture(scenes[:: args.seeds], ANSWERS["network-like, blurred"], args.picture)
    if args.looks:
        looks(args.looks)
    if args.timing:
        timing(args.timing)


if __name__ == "__main__":
    main()
