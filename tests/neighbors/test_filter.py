"""The bound that lets a search skip products: attacked, and used by searches that must not notice it; the order of tiles."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.features import NASTY, nasty, people
from oracles.precisions import PRECISIONS, SATURATES
from reunite import threads
from reunite.neighbors import filter as room
from reunite.neighbors import precision as choice
from reunite.neighbors.candidate_kernels import MANY
from reunite.neighbors.filter import Filter, Tile
from reunite.neighbors.knn import search, search_itself
from reunite.neighbors.operand_kernels import dot
from reunite.neighbors.operands import BFLOAT16_LEVELS
from reunite.neighbors.precision import Precision, adds_bytes_exactly, bfloat16_pays, fastest
from reunite.types import unit_rows


def products(asked: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.array([[dot(a, b) for b in rows] for a in asked], np.float32)


def tiles_of(filter: Filter, block_size: int) -> list[Tile]:
    tiles: list[Tile] = []
    filter.visit(lambda tile: tiles.append(Tile(tile.first_row, tile.first_column, tile.keys.copy())), block_size)
    return tiles


def bounds(filter: Filter, keys: np.ndarray, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value that each key can stand for, as the filter promises it."""
    error = slack[:, None].astype(np.float64) / 2
    if filter.operands.precision != "bfloat16":
        value = keys * filter.operands.levels[0].astype(np.float64)
        return value - error, value + error
    level = BFLOAT16_LEVELS[np.maximum(keys, 0)].astype(np.float64)
    least = np.where(keys < 0, -np.inf, level / (1 + 2.0**-8) - error)
    return least, np.where(keys < 0, 0, level / (1 - 2.0**-8)) + error


def tightness(rows: np.ndarray, offsets: np.ndarray | float, precision: Precision) -> float:
    """Asserts that all values are within their bounds; the largest part of the room for errors that was used."""
    filter = Filter(rows, offsets, precision=precision)
    exact = np.broadcast_to(offsets, len(rows))[:, None] + np.broadcast_to(offsets, len(rows))
    exact = exact - products(rows, rows).astype(np.float64)
    used = 0.0
    for tile in tiles_of(filter, 16):
        down, right = tile.keys.shape
        part = slice(tile.first_row, tile.first_row + down), slice(tile.first_column, tile.first_column + right)
        own = np.equal.outer(np.arange(len(rows))[part[0]], np.arange(len(rows))[part[1]])
        assert (tile.keys[own] == filter.operands.no_value).all()
        least, most = bounds(filter, np.where(own, 0, tile.keys), filter.slack[part[0]])
        value = exact[part]
        assert ((least <= value) & (value <= most))[~own].all()
        looked_at = ~own & np.isfinite(least)
        middle, room = (least + most)[looked_at] / 2, (most - least)[looked_at] / 2
        used = max(used, (np.abs(value[looked_at] - middle) / room).max(initial=0))
    return used


@PRECISIONS
@pytest.mark.parametrize("name", NASTY)
def test_values_of_nasty_rows_are_within_their_bounds(name: str, precision: Precision) -> None:
    tightness(nasty(name), 0.5, precision)
    tightness(unit_rows(nasty(name)), np.linspace(0, 2, 40), precision)


@PRECISIONS
@pytest.mark.parametrize("name", [*NASTY, "people", "one"])
def test_known_products_that_are_as_wrong_as_any_order_of_sums_makes_them_are_within_their_bounds(
    name: str, precision: Precision
) -> None:
    rows = people(60)[0] if name == "people" else np.eye(1, 200, dtype=np.float32).repeat(60, 0)
    rows = nasty(name) if name in NASTY else rows
    count, rng = len(rows) // 3, np.random.default_rng(3)
    for these, offsets in ((unit_rows(rows), np.full(len(rows), 0.5)), (rows, rng.random(len(rows)) * (rows**2).max())):
        order = np.concatenate([rng.permutation(count), count + rng.permutation(len(rows) - count)])
        filter = Filter(these, offsets, precision=precision, order=order, known=True)
        exact = (offsets[:, None] + offsets - these.astype(float) @ these.astype(float).T)[order][:, order]
        length = np.linalg.norm(these.astype(float), axis=1)
        wrong = these.shape[1] * 2.0**-24 * length[:count, None] * length[count:] * rng.choice([-1, 1], (count, 1))
        known = (these[:count].astype(float) @ these[count:].astype(float).T + wrong).astype(np.float32)
        tiles: list[Tile] = []
        filter.visit_known(known, tiles.append, 16)
        assert sum(tile.keys.size for tile in tiles) == known.size
        for tile in tiles:
            own = slice(tile.first_row, tile.first_row + tile.keys.shape[0])
            value = exact[own, tile.first_column : tile.first_column + tile.keys.shape[1]]
            # The products that decide in the end may be as wrong, the other way.
            decisive = these.shape[1] * 2.0**-24 * length[order][own, None] * length.max()
            least, most = bounds(filter, tile.keys, filter.slack[own])
            assert ((least <= value - decisive) & (value + decisive <= most)).all()


@PRECISIONS
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 70), st.floats(-6, 6), st.floats(-6, 0), st.booleans())
def test_values_of_any_rows_are_within_their_bounds(
    precision: Precision, seed: int, dimensions: int, scale: float, spread: float, outlier: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal(dimensions) + 10**spread * rng.standard_normal((40, dimensions))
    rows[0] *= 1 + 100 * outlier
    tightness((10**scale * rows).astype(np.float32), 10 ** (2 * scale) * rng.random(40), precision)


def test_rounding_that_all_goes_one_way_nearly_reaches_the_bound() -> None:
    """Every component loses the most that rounding to bfloat16 can take, and all of it in the direction of the other row."""
    worst = np.float32(1 + 2.0**-8 - 2.0**-20)  # just below the middle of two neighbors, nearer to the lower one
    signs = np.sign(np.random.default_rng(0).standard_normal((20, 256))).astype(np.float32)
    rows = np.concatenate([worst * signs, -worst * signs]).repeat(2, axis=0) / np.float32(16)
    assert (Filter(rows).center == 0).all(), "rounding is attacked where nothing is subtracted before"
    assert tightness(rows, 0.5, "bfloat16") > 0.9


@PRECISIONS
def test_sums_in_float32_that_cancel_are_within_their_bounds(precision: Precision) -> None:
    """Large products of either sign, whose sum is small: what is left is rounding."""
    rng = np.random.default_rng(1)
    half = 100 * rng.standard_normal((30, 300))
    rows = np.concatenate([half, -half + 1e-3 * rng.standard_normal(half.shape)], axis=1)
    tightness(rows.astype(np.float32), 0.0, precision)
    tightness(np.concatenate([rows, rows[::-1, ::-1]]).astype(np.float32), 1e4, precision)


@PRECISIONS
@pytest.mark.parametrize("k", [2, 7, 40])
@pytest.mark.parametrize("name", [*NASTY, "people", "line"])
def test_a_search_gives_what_all_float32_products_give(name: str, k: int, precision: Precision) -> None:
    """To the last bit, at either precision, whatever the rows are."""
    rows = people(300)[0] if name == "people" else np.arange(1.0, 41)[:, None] if name == "line" else nasty(name)
    rows = unit_rows(rows.astype(np.float32))
    everything = products(rows, rows)
    order = everything.copy()
    np.fill_diagonal(order, np.inf)
    expected = np.argsort(-order, axis=1, kind="stable")[:, :k]
    indices, similarity = search_itself(rows, k, 32, precision=precision)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(similarity, np.take_along_axis(everything, expected, axis=1))
    asked = rows[::3].copy()
    indices, similarity = search(asked, rows, k, 32, precision=precision)
    expected_asked = np.argsort(-everything[::3], axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected_asked)
    np.testing.assert_array_equal(similarity, np.take_along_axis(everything[::3], expected_asked, axis=1))


@PRECISIONS
@pytest.mark.parametrize("name", ["duplicates", "untrained", "zeros"])
def test_more_candidates_than_there_is_room_for(name: str, precision: Precision) -> None:
    """Five hundred copies of each row, which tie at the k-th place, too."""
    rows = unit_rows(nasty(name)[:4].repeat(500, axis=0))
    indices = search_itself(rows, 10, precision=precision)[0]
    which = np.unique(rows, axis=0, return_inverse=True)[1]
    for i in range(0, 2000, 97):
        alike = np.flatnonzero(which == which[i]) if rows[i].any() else np.arange(2000)
        assert indices[i].tolist() == [i, *alike[alike != i][:9].tolist()]


@PRECISIONS
def test_rows_that_first_meet_rows_unlike_them(precision: Precision) -> None:
    """All values of the first thousand columns are within the bound of each other, and no neighbor is among them."""
    rng = np.random.default_rng(0)
    rows = np.zeros((3000, 64), np.float32)
    rows[:1500, :32] = rng.standard_normal((1500, 32))
    rows[1500:, 32:] = rng.standard_normal((1500, 32))
    rows = unit_rows(rows + 1e-4 * rng.standard_normal(rows.shape).astype(np.float32))
    indices, _ = search_itself(rows, 10, 256, precision=precision)
    exact = rows.astype(np.float64) @ rows.T
    np.fill_diagonal(exact, 2)
    np.testing.assert_array_equal(indices, np.argsort(-exact, axis=1, kind="stable")[:, :10])


@PRECISIONS
def test_limits_that_products_tighten_lose_nothing(precision: Precision) -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32))
    rows[100:140] = rows[0]  # more copies than are asked for
    assert len(rows) >= MANY * rows.shape[1]
    indices, similarity = search_itself(rows, 30, 256, precision=precision)
    exact = rows.astype(np.float64) @ rows.T
    np.fill_diagonal(exact, 2)
    nearest = -np.sort(-exact, axis=1)[:, 1:30]
    np.testing.assert_allclose(similarity[:, 1:], nearest, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, indices, 1)[:, 1:], nearest, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(indices[120, 1:], [0, *range(100, 120), *range(121, 129)])


@PRECISIONS
@pytest.mark.parametrize("known", [0, 1, 110])
@pytest.mark.parametrize("block_size", [16, 130, 500])
def test_every_pair_is_in_one_tile_and_no_two_threads_share_a_row(
    block_size: int, known: int, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAST_ROWS", 4)
    monkeypatch.setattr(room, "thread_count", lambda: 3)
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(known), known + rng.permutation(300 - known)])
    rows = unit_rows(people(300)[0])
    filter = Filter(rows, precision=precision, order=order, known=known > 0)
    monkeypatch.setattr(filter.operands, "width", 70)
    monkeypatch.setattr(room, "KNOWN_TOGETHER", 400)
    seen, taken, lock = np.zeros((300, 300), int), np.zeros(300, bool), threading.Lock()

    def look(tile: Tile) -> None:
        height, width = tile.keys.shape
        rows = slice(tile.first_row, tile.first_row + height)
        columns = slice(tile.first_column, tile.first_column + width)
        with lock:
            assert not taken[rows].any() and not taken[columns].any()
            taken[rows] = taken[columns] = True
        time.sleep(1e-3)
        with lock:
            taken[rows] = taken[columns] = False
            seen[rows, columns] += 1

    with ThreadPoolExecutor(3) as pool:
        monkeypatch.setattr(threads, "same_threads", lambda: nullcontext(pool))
        monkeypatch.setattr(threads, "thread_count", lambda: 3)
        if known:
            filter.visit(look, block_size, (0, known))
            filter.visit_known(rows[:known] @ rows[known:].T, look, block_size)
        filter.visit(look, block_size, (known, 300))
    place = np.arange(300)
    square = np.where(place < known, place // block_size, 1000 + (place - known) // block_size)
    squares = np.equal.outer(square, square)
    np.testing.assert_array_equal(seen, squares | np.triu(np.ones((300, 300), int)))


@SATURATES
def test_bytes_that_are_all_as_large_as_they_can_be_add_up_exactly() -> None:
    rows = np.sign(np.random.default_rng(0).standard_normal((40, 3000))).astype(np.float32)
    rows[20:] = -rows[:20]  # the center is zero, and every number is 127 steps of one scale
    filter = Filter(rows, 0.0, precision="int8")
    (tile,) = tiles_of(filter, 40)
    expected = -127 * 127 * (rows.astype(np.int64) @ rows.astype(np.int64).T)
    np.fill_diagonal(expected, filter.operands.no_value)
    np.testing.assert_array_equal(tile.keys, expected)


@SATURATES
def test_rows_with_a_few_large_columns_are_not_searched_with_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "fastest", lambda rows, columns: "int8" if rows else "float32")
    rows = np.random.default_rng(0).standard_normal((500, 256)).astype(np.float32)
    assert Filter(unit_rows(rows)).operands.precision == "int8"
    rows[:, 0] *= 30
    assert Filter(unit_rows(rows)).operands.precision == "float32", "the fastest without bytes"


def test_the_precision_is_chosen_by_measuring_and_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit_rows(people(400, dimensions=64)[0])
    found = []
    for precision in ("float32", "bfloat16"):
        monkeypatch.setattr(room, "fastest", lambda *_, precision=precision: precision)
        assert Filter(rows).operands.precision == precision
        found.append(search_itself(rows, 12))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_the_precision_follows_the_instructions_that_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = {
        "avx2": ("float32", "float32"),
        "avx512_bf16": ("bfloat16", "bfloat16"),
        "avx512_vnni": ("float32", "int8"),
        "avx512_bf16 avx512_vnni": ("bfloat16", "int8"),
    }
    for flags, (small, large) in expected.items():
        (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")
        monkeypatch.setattr(choice, "CPU_INFO", tmp_path / "cpuinfo")
        bfloat16_pays.cache_clear(), adds_bytes_exactly.cache_clear()
        assert (fastest(100, 2048), fastest(10**6, 2048)) == (small, large), flags
        assert fastest(10**6, 16) == small, "few columns: candidates would cost more than products save"
    monkeypatch.setattr(choice, "CPU_INFO", tmp_path / "not there")
    bfloat16_pays.cache_clear(), adds_bytes_exactly.cache_clear()
    assert fastest(10**6, 2048) in ("float32", "bfloat16"), "measured, and bytes are not trusted"
    monkeypatch.setattr(choice, "is_fork", lambda: True)
    assert fastest(10**6, 2048) == "float32"
    monkeypatch.undo()
    bfloat16_pays.cache_clear(), adds_bytes_exactly.cache_clear()
