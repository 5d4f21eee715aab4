"""Opening many images: cached or not, whole or broken, and making batches ahead."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from reunite.errors import ImageError, InputError
from reunite.images.decoding import decode
from reunite.images.loading import BrokenImage, available_cores, open_images, prefetch

SIZE = (24, 16)
BYTES = SIZE[0] * SIZE[1] * 3


@pytest.fixture
def files(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    """Nine images of different sizes and formats."""
    paths = []
    for number in range(9):
        height, width = rng.integers(8, 60, 2).tolist()
        path = tmp_path / f"{number}.{('jpg', 'png', 'webp')[number % 3]}"
        coarse = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
        paths.append(path)
    return paths


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("reunite-")]


@pytest.mark.parametrize("workers", [None, 1, 3, 50])
@pytest.mark.parametrize(
    "given", [list, lambda paths: [str(path) for path in paths], lambda paths: np.array(paths, str)]
)
def test_cached_and_uncached_pixels_are_those_of_decode(files: list[Path], workers: int | None, given):
    expected = np.stack([decode(path, SIZE) for path in files])
    cached = open_images(given(files), SIZE, workers=workers)
    again = open_images(given(files), SIZE, workers=workers, memory=0)
    assert cached.kept == "memory" and again.kept == "no" and len(cached) == len(again) == 9
    rows = np.array([8, 0, 3, 3, 5])
    for pixels in (cached, again):
        assert pixels.readable.all() and pixels.broken == ()
        np.testing.assert_array_equal(pixels.read(rows), expected[rows])
        np.testing.assert_array_equal(pixels.read(np.arange(9)), expected)
        assert pixels.read(np.empty(0, np.int64)).shape == (0, *SIZE, 3)
    assert threads() == []


def test_memory_is_a_limit_in_bytes(files: list[Path]):
    assert open_images(files, SIZE, memory=9 * BYTES).kept == "memory"
    assert open_images(files, SIZE, memory=9 * BYTES - 1).kept == "no"


def test_a_batch_belongs_to_its_reader(files: list[Path]):
    pixels = open_images(files, SIZE)
    batch = pixels.read(np.array([1, 2]))
    before = batch.copy()
    batch[:] = 0
    np.testing.assert_array_equal(pixels.read(np.array([1, 2])), before)


def test_broken_files_are_named_counted_and_left_out_if_asked(files: list[Path], tmp_path: Path):
    whole = np.stack([decode(path, SIZE) for path in files])
    files[2].unlink()
    files[4].write_bytes(b"")
    files[5].write_bytes(b"text")
    files[7].write_bytes(files[7].read_bytes()[:20])
    with pytest.raises(ImageError) as raised:
        open_images(files, SIZE)
    message = str(raised.value)
    assert message.startswith("4 of 9 images cannot be read: ") and "and 1 more" in message
    assert f"{files[2]} (there is no such file)" in message and str(files[5]) in message
    assert str(files[7]) not in message and 'on_error="skip"' in message

    for memory in (0, 2**20):
        pixels = open_images(files, SIZE, on_error="skip", memory=memory)
        assert pixels.readable.tolist() == [True, True, False, True, False, False, True, False, True]
        assert [image.path for image in pixels.broken] == [str(files[row]) for row in (2, 4, 5, 7)]
        assert pixels.broken[1] == BrokenImage(str(files[4]), "the file is empty (0 bytes)")
        rows = np.flatnonzero(pixels.readable)
        np.testing.assert_array_equal(pixels.read(rows), whole[rows])
        with pytest.raises(InputError, match=r"Row 4 .*not readable"):
            pixels.read(np.array([0, 4]))
    assert threads() == []


def test_nothing_readable(files: list[Path], tmp_path: Path):
    for path in files:
        path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"9 of 9 .*None can be read"):
        open_images(files, SIZE, on_error="skip")
    with pytest.raises(ImageError, match="No image files"):
        open_images([], SIZE)


def test_a_file_that_breaks_later(files: list[Path]):
    pixels = open_images(files, SIZE, memory=0)
    files[3].write_bytes(b"")
    pixels.read(np.array([0, 1, 2, 4]))
    with pytest.raises(ImageError, match=r"3\.jpg could be read before and cannot now: the file is empty"):
        pixels.read(np.array([2, 3]))


@pytest.mark.parametrize("rows", [np.array([9]), np.array([-1]), np.array([[0]]), np.array([0.0])])
def test_rows_are_checked(files: list[Path], rows: np.ndarray):
    with pytest.raises(InputError, match="rows must be"):
        open_images(files, SIZE).read(rows)


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"memory": -1}, {"workers": 0}])
def test_options_are_checked(files: list[Path], options: dict):
    with pytest.raises(InputError, match="Expected on_error"):
        open_images(files, SIZE, **options)
    with pytest.raises(InputError, match="height, width"):
        open_images(files, (24, 0))


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_rises_to_the_end_in_the_callers_thread(files: list[Path], workers: int):
    told: list[tuple[int, int]] = []
    names = set()

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        names.add(threading.current_thread())

    open_images(files, SIZE, workers=workers, progress=progress)
    assert told == sorted(set(told)) and told[-1] == (9, 9) and {total for _, total in told} == {9}
    assert names == {threading.current_thread()}


def test_an_interrupted_opening_leaves_no_thread(files: list[Path]):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(files, SIZE, workers=2, progress=interrupt)
    assert threads() == []


def test_available_cores():
    assert available_cores() >= 1


def test_prefetch_keeps_the_order_and_ends():
    assert list(prefetch(range(100))) == list(range(100))
    assert list(prefetch([], depth=5)) == []
    assert threads() == []


def test_prefetch_works_ahead_in_another_thread_but_not_further_than_depth():
    made: list[int] = []
    makers = set()

    def make() -> Iterator[int]:
        for item in itertools.count():
            made.append(item)
            makers.add(threading.current_thread().name)
            yield item

    items = prefetch(make(), depth=3)
    assert made == [] and threads() == []  # nothing begins before the first item is asked for
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert made == [0, 1, 2, 3]  # one taken, three waiting
    assert makers == {"reunite-prefetch"}
    items.close()
    assert threads() == []
    assert made == [0, 1, 2, 3]


def test_prefetch_raises_where_the_item_would_have_been():
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise ImageError("the third is broken")

    items = prefetch(make())
    assert next(items) == 1 and next(items) == 2
    with pytest.raises(ImageError, match="the third is broken"):
        next(items)
    assert threads() == []
    with pytest.raises(TypeError, match="not iterable"):
        list(prefetch(5))  # type: ignore[arg-type]


def test_prefetch_stops_when_the_consumer_does():
    for item in prefetch(itertools.count()):
        if item == 3:
            break
    assert threads() == []
    with pytest.raises(RuntimeError, match="consumer"):
        for _ in prefetch(itertools.count()):
            raise RuntimeError("consumer")
    assert threads() == []


def test_prefetch_checks_its_depth_at_once():
    with pytest.raises(InputError, match="depth"):
        prefetch([1], depth=0)
