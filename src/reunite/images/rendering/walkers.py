"""Who a walker is: build, skin, hair, clothes and bag of a person who does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

from reunite.images.rendering.figures import Color

T = TypeVar("T")

SKINS: tuple[Color, ...] = (
    (236, 196, 172), (222, 176, 148), (198, 150, 118), (168, 118, 86), (128, 86, 62), (94, 62, 46),
)  # fmt: skip
HAIRS: tuple[Color, ...] = (
    (34, 28, 26), (48, 36, 30), (78, 54, 38), (112, 78, 50), (176, 138, 86), (150, 148, 146), (134, 62, 34),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (36, 36, 40), (44, 46, 54), (74, 76, 82), (136, 138, 142), (226, 226, 222), (240, 236, 226),
    (34, 44, 78), (48, 82, 148), (112, 156, 204), (176, 40, 44), (112, 32, 46), (218, 104, 96),
    (46, 104, 66), (96, 104, 62), (40, 132, 136), (222, 184, 62), (222, 118, 44), (222, 150, 172),
    (110, 72, 134), (198, 172, 134), (112, 80, 58), (150, 196, 160),
)  # fmt: skip
TROUSERS: tuple[Color, ...] = (
    (34, 34, 38), (48, 50, 58), (36, 46, 80), (58, 80, 122), (104, 130, 166), (120, 120, 124),
    (188, 166, 132), (104, 84, 64), (84, 92, 64), (214, 210, 202), (104, 40, 48),
)  # fmt: skip
SHOES: tuple[Color, ...] = (
    (30, 30, 32), (58, 44, 36), (232, 230, 226), (132, 134, 138), (168, 44, 46), (52, 74, 124), (150, 106, 66),
)  # fmt: skip
BAGS: tuple[Color, ...] = (
    (32, 32, 36), (62, 66, 74), (120, 76, 46), (44, 66, 112), (166, 48, 48), (74, 98, 70), (202, 176, 128),
    (214, 128, 52),
)  # fmt: skip

Pattern = Literal["plain", "stripes", "checks", "block", "logo", "two-tone", "raglan", "open"]
Legwear = Literal["trousers", "loose trousers", "leggings", "shorts", "skirt", "long skirt"]
LEGWEAR: tuple[Legwear, ...] = get_args(Legwear)
Hair = Literal["bald", "short", "bob", "long", "ponytail", "bun", "curls"]
Hat = Literal["none", "cap", "beanie", "hood"]
Bag = Literal["none", "backpack", "shoulder", "hand"]


@dataclass(frozen=True)
class Walker:
    """One individual, the same in every image.

    Attributes:
        girth: how wide the body is; 1 is average. shoulders, hips: half widths in metres, before girth.
        head: size of the head; 1 is average. Crops are as high as the person, so the small have larger heads.
        skin, hair_color: colours.
        upper, upper_second, pattern: colours and pattern of what is worn above.
        sleeve: how much of the arm it covers, in [0, 1]. hem: height at which it ends, metres.
        lower, lower_second, legwear: what is worn below; lower_second is the colour of a seam, if `seam`.
        stride, swing: how far legs and arms swing, radians.
    """

    girth: float
    shoulders: float
    hips: float
    head: float
    skin: Color
    hair: Hair
    hair_color: Color
    hat: Hat
    hat_color: Color
    upper: Color
    upper_second: Color
    pattern: Pattern
    sleeve: float
    hem: float
    lower: Color
    lower_second: Color
    legwear: Legwear
    seam: bool
    shoes: Color
    boots: bool
    bag: Bag
    bag_color: Color
    stride: float
    swing: float


def random_walker(rng: np.random.Generator) -> Walker:
    """An individual drawn at random. Colours come from short lists, so that look-alikes are frequent."""
    upper, second = _two_colors(rng)
    slim = rng.random() < 0.5
    legwear = _choose(rng, LEGWEAR, (0.40, 0.12, 0.14, 0.17, 0.11, 0.06))
    coat = rng.random() < 0.14 and legwear in ("trousers", "leggings", "skirt")
    return Walker(
        girth=float(np.clip(rng.normal(1.0, 0.13), 0.78, 1.42)),
        shoulders=float(rng.normal(0.104 if slim else 0.116, 0.006)),
        hips=float(rng.normal(0.090 if slim else 0.086, 0.005)),
        head=float(np.clip(rng.normal(1.02, 0.06), 0.9, 1.16)),
        skin=_jitter(rng, _choose(rng, SKINS), 6),
        hair=_choose(
            rng,
            ("bald", "short", "bob", "long", "ponytail", "bun", "curls"),
            (0.07, 0.37, 0.12, 0.17, 0.11, 0.06, 0.10),
        ),
        hair_color=_jitter(rng, _choose(rng, HAIRS, (0.24, 0.22, 0.18, 0.14, 0.10, 0.07, 0.05)), 6),
        hat=_choose(rng, ("none", "cap", "beanie", "hood"), (0.76, 0.12, 0.07, 0.05)),
        hat_color=_jitter(rng, _choose(rng, CLOTHES), 8),
        upper=upper,
        upper_second=second,
        pattern=_choose(
            rng,
            ("plain", "stripes", "checks", "block", "logo", "two-tone", "raglan", "open"),
            (0.26, 0.13, 0.09, 0.09, 0.15, 0.08, 0.07, 0.13),
        ),
        sleeve=1.0 if coat else float(_choose(rng, (0.08, 0.42, 0.7, 1.0), (0.08, 0.38, 0.06, 0.48))),
        hem=float(rng.uniform(0.29, 0.38) if coat else rng.uniform(0.455, 0.515)),
        lower=_jitter(rng, _choose(rng, TROUSERS), 8),
        lower_second=_jitter(rng, _choose(rng, CLOTHES), 8),
        legwear=legwear,
        seam=bool(rng.random() < 0.2),
        shoes=_jitter(rng, _choose(rng, SHOES), 6),
        boots=bool(rng.random() < 0.15),
        bag=_choose(rng, ("none", "backpack", "shoulder", "hand"), (0.47, 0.25, 0.16, 0.12)),
        bag_color=_jitter(rng, _choose(rng, BAGS), 8),
        stride=float(rng.uniform(0.30, 0.52)),
        swing=float(rng.uniform(0.15, 0.55)),
    )


def _two_colors(rng: np.random.Generator) -> tuple[Color, Color]:
    """Two colours of clothes that can be told apart in a dark image."""
    first = _choose(rng, CLOTHES)
    apart = [color for color in CLOTHES if np.abs(np.subtract(color, first)).sum() > 150]
    return _jitter(rng, first, 8), _jitter(rng, _choose(rng, tuple(apart)), 8)


def _choose(rng: np.random.Generator, choices: tuple[T, ...], shares: tuple[float, ...] | None = None) -> T:
    """One of the choices, with these shares; equal shares if none are given."""
    if shares is None:
        return choices[int(rng.integers(len(choices)))]
    return choices[int(np.searchsorted(np.cumsum(shares)[:-1], rng.random() * sum(shares), side="right"))]


def _jitter(rng: np.random.Generator, color: Color, amount: int) -> Color:
    red, green, blue = (int(np.clip(value + rng.integers(-amount, amount + 1), 0, 255)) for value in color)
    return red, green, blue
