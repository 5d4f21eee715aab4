"""The file of decoded pixels: the same pixels as from memory, and of no use as soon as anything about it is wrong."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from reunite.errors import ImageError, InputError
from reunite.images import decoding_threads, pixel_cache
from reunite.images.decoding import decode
from reunite.images.loading import Pixels, open_images
from reunite.images.pixel_cache import PixelCache

SIZE = (24, 16)
ROW = SIZE[0] * SIZE[1] * 3


@pytest.fixture(autouse=True)
def _any_room_will_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pixel_cache, "SPARED", 0)


@pytest.fixture
def files(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    """Nine images of different sizes and formats."""
    (tmp_path / "images").mkdir()
    return [write_image(tmp_path / f"images/{n}.{('jpg', 'png', 'webp')[n % 3]}", rng) for n in range(9)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write_image(path: Path, rng: np.random.Generator) -> Path:
    height, width = rng.integers(8, 60, 2).tolist()
    coarse = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    return path


def opened(files: list[Path], folder: Path, **options) -> Pixels:
    return open_images(files, SIZE, memory=0, cache=folder, **options)


def decoded(files: list[Path]) -> np.ndarray:
    return np.stack([decode(path, SIZE) for path in files])


def in_the_folder(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that have been decoded since."""
    seen: list[str] = []
    read = decoding_threads.read_pixels
    monkeypatch.setattr(decoding_threads, "read_pixels", lambda path, size: (seen.append(path), read(path, size))[1])
    return seen


@pytest.mark.parametrize("workers", [1, 3])
def test_pixels_from_memory_file_and_images_are_the_same(
    files: list[Path], folder: Path, workers: int, rng: np.random.Generator
):
    ways = {
        "memory": open_images(files, SIZE, workers=workers, cache=folder),
        "no": open_images(files, SIZE, workers=workers, memory=9 * ROW - 1),
        "file": opened(files, folder, workers=workers),
    }
    ways_again = {**ways, "file, found": opened(files, folder, workers=workers)}
    expected = decoded(files)
    for name, pixels in ways_again.items():
        assert pixels.kept == name.split(",")[0] and pixels.note is None and pixels.lost == ()
        assert pixels.readable.all() and pixels.broken == () and len(pixels) == 9
        for rows in (
            np.arange(9),
            rng.integers(0, 9, 40),
            np.array([3], np.uint64),
            np.array([], np.int64),
            np.array([]),
        ):
            batch, was_read = pixels.read_some(rows)
            np.testing.assert_array_equal(pixels.read(rows), expected[rows.astype(int)])
            np.testing.assert_array_equal(batch, expected[rows.astype(int)])
            assert was_read.all() and was_read.shape == rows.shape
            batch[:] = 0  # an array of the reader's own
    np.testing.assert_array_equal(ways["file"].read(np.arange(9)), expected)


def test_only_what_does_not_fit_into_memory_goes_into_a_file(files: list[Path], folder: Path):
    assert open_images(files, SIZE, memory=9 * ROW, cache=folder).kept == "memory"
    assert not folder.exists()
    assert open_images(files, SIZE, memory=9 * ROW - 1, cache=str(folder)).kept == "file"
    assert len(in_the_folder(folder)) == 1


def test_the_second_opening_decodes_nothing(files: list[Path], folder: Path, count: list[str]):
    first = opened(files, folder)
    assert len(count) == 9
    told: list[tuple[int, int]] = []
    second = opened([str(path) for path in files], folder, progress=lambda *done: told.append(done))
    np.testing.assert_array_equal(second.read(np.arange(9)), first.read(np.arange(9)))
    assert len(count) == 9 and told == [(9, 9)]


def test_images_are_known_by_where_they_are(files: list[Path], folder: Path, count: list[str], monkeypatch):
    opened(files, folder)
    monkeypatch.chdir(files[0].parent)
    opened([Path(path.name) for path in files], folder)
    assert len(count) == 9
    copies = folder.parent / "copies"
    shutil.copytree(files[0].parent, copies)  # same names, bytes and mtimes
    monkeypatch.chdir(copies)
    opened([Path(path.name) for path in files], folder)
    assert len(count) == 18


def test_data_sets_and_sizes_share_a_folder(files: list[Path], folder: Path, count: list[str]):
    opened(files, folder)
    opened(files[::-1], folder)
    opened(files[:5], folder)
    open_images(files, SIZE[::-1], memory=0, cache=folder)
    assert len(count) == 9 + 9 + 5 + 9 and len(in_the_folder(folder)) == 4
    np.testing.assert_array_equal(opened(files[::-1], folder).read(np.arange(9)), decoded(files)[::-1])
    assert opened(files[:5], folder).read(np.arange(5)).shape == (5, *SIZE, 3)
    assert len(count) == 32


def _other_bytes(path: Path) -> None:
    """Same name, length and mtime, other pixels: only the ctime tells."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-40:-20] = bytes(20)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


CHANGES: dict[str, Callable[[Path], object]] = {
    "another image": lambda path: write_image(path, np.random.default_rng(9)),
    "mtime": lambda path: os.utime(path, ns=(1, 1)),
    "bytes": _other_bytes,
    "gone": lambda path: path.unlink(),
    "permission": lambda path: path.chmod(0o600),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_changed_are_decoded_again(files: list[Path], folder: Path, count: list[str], change: str):
    opened(files, folder)
    time.sleep(0.03)  # clocks of file systems tick
    CHANGES[change](files[3])
    count.clear()
    pixels = opened(files, folder, on_error="skip")
    assert len(count) == 9 and len(in_the_folder(folder)) == 1  # in place of the old one
    fresh = open_images(files, SIZE, on_error="skip")
    rows = np.flatnonzero(fresh.readable)
    assert pixels.broken == fresh.broken and pixels.kept == "file"
    np.testing.assert_array_equal(pixels.read(rows), fresh.read(rows))


def _with_record(file: bytes, **changed) -> bytes:
    """The file with another record in it, and the sum that belongs to that."""
    start = 9 * ROW + 9 * 4
    record = json.loads(file[start:-4]) | changed
    tail = file[9 * ROW : start] + json.dumps(record).encode()
    return file[: 9 * ROW] + tail + zlib.crc32(tail).to_bytes(4, "little")


def _with_tail(content: bytes, record: bytes) -> bytes:
    tail = bytes(9 * 4) + record
    return content[: 9 * ROW] + tail + zlib.crc32(tail).to_bytes(4, "little")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in the pixels": lambda content: content[: 5 * ROW],
    "cut after the pixels": lambda content: content[: 9 * ROW],
    "cut in the record": lambda content: content[:-7],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "a bit of the record": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    "a bit of a sum": lambda content: content[: 9 * ROW] + bytes([content[9 * ROW] ^ 1]) + content[9 * ROW + 1 :],
    "another format": lambda content: _with_record(content, format=pixel_cache.FORMAT + 1),
    "other images": lambda content: _with_record(content, content="0" * 64),
    "a record that is no JSON": lambda content: _with_tail(content, b"{"),
    "a record that is a list": lambda content: _with_tail(content, b"[1]"),
    "a record without fields": lambda content: _with_tail(content, b"{}"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_ours_is_made_anew(files: list[Path], folder: Path, count: list[str], damage: str):
    opened(files, folder)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole))
    count.clear()
    pixels = opened(files, folder)
    assert len(count) == 9 and pixels.kept == "file"
    np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))
    assert path.read_bytes() == whole  # nothing in the file depends on when it was made


def test_another_decoder_makes_another_file(files: list[Path], folder: Path, count: list[str], monkeypatch):
    opened(files, folder)
    monkeypatch.setattr(pixel_cache, "_decoder", lambda: "a later version")
    opened(files, folder)
    assert len(count) == 18 and len(in_the_folder(folder)) == 1


def test_damaged_pixels_are_decoded_again_from_their_image(files: list[Path], folder: Path, count: list[str]):
    opened(files, folder)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[4 * ROW + 100] ^= 8
    content[6 * ROW : 7 * ROW] = bytes(ROW)
    path.write_bytes(content)
    count.clear()
    pixels = opened(files, folder)
    assert count == []
    for _ in range(2):
        np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))
        np.testing.assert_array_equal(pixels.read(np.array([6, 2, 4])), decoded(files)[[6, 2, 4]])
    assert sorted(count) == sorted([str(files[4]), str(files[6])] * 4)  # these two, each time
    files[4].unlink()
    with pytest.raises(ImageError, match="there is no such file"):
        pixels.read(np.array([4]))
    assert pixels.read_some(np.array([3, 4]))[1].tolist() == [True, False]


def test_the_file_may_be_replaced_or_deleted_while_it_is_read(files: list[Path], folder: Path, count: list[str]):
    pixels = opened(files, folder)
    expected = decoded(files)
    write_image(files[0], np.random.default_rng(5))
    opened(files, folder)
    shutil.rmtree(folder)
    count.clear()
    np.testing.assert_array_equal(pixels.read(np.arange(9)), expected)
    assert count == []


def test_a_file_that_is_cut_or_cannot_be_read_in_mid_run_is_decoded_again(
    files: list[Path], folder: Path, count: list[str], monkeypatch: pytest.MonkeyPatch
):
    pixels = opened(files, folder)
    pixels.read(np.arange(5))
    (path,) = folder.iterdir()
    os.truncate(path, 3 * ROW + 7)
    count.clear()
    np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))
    assert sorted(count) == [str(path) for path in files[3:]]
    monkeypatch.setattr(os, "preadv", _raising(errno.EIO))
    np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))


def test_broken_images_and_their_reasons_are_kept_too(files: list[Path], folder: Path, count: list[str]):
    files[2].unlink()
    files[4].write_bytes(b"")
    files[7].write_bytes(files[7].read_bytes()[:20])
    with pytest.raises(ImageError, match=r"3 of 9 images cannot be read"):
        opened(files, folder)
    assert in_the_folder(folder) == []  # what is at fault may be repaired, and be tried again
    plain = open_images(files, SIZE, on_error="skip")
    made = opened(files, folder, on_error="skip")
    count.clear()
    found = opened(files, folder, on_error="skip")
    rows = np.flatnonzero(plain.readable)
    for pixels in (made, found):
        assert pixels.kept == "file" and pixels.broken == plain.broken and len(pixels.broken) == 3
        assert pixels.readable.tolist() == plain.readable.tolist()
        np.testing.assert_array_equal(pixels.read(rows), plain.read(rows))
        with pytest.raises(InputError, match=r"Row 4 .*not readable"):
            pixels.read_some(np.array([0, 4]))
    with pytest.raises(ImageError, match=r"3 of 9 .* \(there is no such file\); .* \(the file is empty \(0 bytes\)\)"):
        opened(files, folder)
    assert count == []
    for path in files:
        path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"9 of 9 .*None can be read"):
        opened(files, folder, on_error="skip")


def _raising(number: int) -> Callable[..., object]:
    def refuse(*arguments: object) -> object:
        raise OSError(number, os.strerror(number))

    return refuse


def _full_after(calls: int) -> Callable[..., int]:
    write, left, lock = os.pwrite, iter(range(calls)), threading.Lock()

    def some(descriptor: int, data: memoryview, at: int) -> int:
        with lock:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, at)

    return some


FULL: dict[str, tuple[object, str, object, str]] = {
    "seen before": (shutil, "disk_usage", lambda path: SimpleNamespace(free=9 * ROW - 1), "GB free, and"),
    "while reserved": (os, "posix_fallocate", _raising(errno.ENOSPC), "No space left"),
    "at the first image": (os, "pwrite", _full_after(0), "No space left"),
    "at the fifth image": (os, "pwrite", _full_after(4), "No space left"),
    "at the record": (os, "pwrite", _full_after(9), "No space left"),
    "while stored": (os, "fsync", _raising(errno.ENOSPC), "No space left"),
    "quota": (os, "posix_fallocate", _raising(errno.EDQUOT), "quota"),
}


@pytest.mark.parametrize("where", FULL)
def test_a_full_disk_means_decoding_again(files: list[Path], folder: Path, count: list[str], monkeypatch, where: str):
    place, name, fails, why = FULL[where]
    monkeypatch.setattr(place, name, fails)
    pixels = opened(files, folder, workers=2)
    assert len(count) == 9  # not once more for having failed
    assert pixels.kept == "no" and pixels.note is not None
    assert "Decoded images are not kept" in pixels.note and why in pixels.note and str(folder) in pixels.note
    assert in_the_folder(folder) == []
    np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))
    monkeypatch.undo()
    monkeypatch.setattr(pixel_cache, "SPARED", 0)
    assert opened(files, folder).kept == "file"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("unseen", [(), ("disk_usage",), ("disk_usage", "posix_fallocate")])
def test_a_disk_that_is_really_full(
    files: list[Path], small_disk: Path, monkeypatch: pytest.MonkeyPatch, unseen: tuple[str, ...]
):
    assert open_images(files, (256, 128), memory=0, cache=small_disk).kept == "file"  # 0.9 MB
    shutil.rmtree(small_disk, ignore_errors=True)
    if "disk_usage" in unseen:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**40))
    if "posix_fallocate" in unseen:
        monkeypatch.setattr(os, "posix_fallocate", _raising(errno.EOPNOTSUPP))
    many = files * 3  # 2.7 MB
    pixels = open_images(many, (256, 128), memory=0, cache=small_disk)
    assert pixels.kept == "no" and pixels.note is not None
    assert ("No space left" in pixels.note) == bool(unseen) and in_the_folder(small_disk) == []
    assert pixels.read(np.arange(27)).shape == (27, 256, 128, 3)


def test_room_is_left_to_others(files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pixel_cache, "SPARED", 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9 + 9 * ROW - 1))
    assert "1.0 GB that are left to others" in str(opened(files, folder).note)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9 + 9 * ROW))
    assert opened(files, folder).note is None


def test_a_system_that_writes_a_little_at_a_time_and_cannot_reserve(files: list[Path], folder: Path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: write(descriptor, data[:100], at))
    monkeypatch.setattr(os, "posix_fallocate", _raising(errno.EOPNOTSUPP))
    pixels = opened(files, folder)
    assert pixels.kept == "file"
    np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))


def test_a_folder_that_cannot_be_used(files: list[Path], folder: Path, tmp_path: Path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    for wrong in (in_the_way, in_the_way / "below"):
        pixels = opened(files, wrong)
        assert pixels.kept == "no" and "cannot be written" in str(pixels.note)
        np.testing.assert_array_equal(pixels.read(np.arange(9)), decoded(files))
    assert in_the_way.read_text() == "mine"
    PixelCache.of(folder, [str(path) for path in files], SIZE).path.mkdir(parents=True)
    assert opened(files, folder).kept == "no"


def test_any_name_is_a_name(files: list[Path], folder: Path, count: list[str]):
    odd = [*map(str, files), "nul\0name", "lone \ud800", "line\nbreak", "b\udcffyte"]
    for _ in range(2):
        pixels = open_images(odd, SIZE, on_error="skip", memory=0, cache=folder)
        assert pixels.kept == "file" and [image.path for image in pixels.broken] == odd[9:]
    assert len(count) == 13


def test_a_file_removed_as_soon_as_it_is_made_is_still_read(files: list[Path], folder: Path):
    place = PixelCache.of(folder, [str(path) for path in files], SIZE)
    with place.draft() as draft:
        for row, pixels in enumerate(decoded(files)):
            draft.put(row, pixels)
        made = draft.finish([None] * 9)
        place.path.unlink()  # by another process that saw none before, and makes room for its own
    assert made is not None
    out = np.empty((9, *SIZE, 3), np.uint8)
    assert made.copy(np.arange(9), out) == []
    np.testing.assert_array_equal(out, decoded(files))


def test_two_drafts_at_once(files: list[Path], folder: Path):
    place = PixelCache.of(folder, [str(path) for path in files], SIZE)
    expected = decoded(files)
    with place.draft() as first, place.draft() as second:
        assert len(in_the_folder(folder)) == 2
        for row in range(9):
            first.put(row, expected[row])
            second.put(row, expected[row])
        first.finish([None] * 9)
        held = opened(files, folder)
        second.finish([None] * 9)
        assert first.failure is None and second.failure is None
    assert len(in_the_folder(folder)) == 1
    for pixels in (held, opened(files, folder)):
        np.testing.assert_array_equal(pixels.read(np.arange(9)), expected)


MAKE = """
import hashlib, sys, time, types
import numpy as np
source, folder, mode, *files = sys.argv[1:]
for name in ("reunite", "reunite.images"):  # without their __init__, which imports torch and takes seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [source + "/" + name.replace(".", "/")]
from reunite.images import pixel_cache
from reunite.images.loading import open_images
pixel_cache.SPARED = 0
def step(done, total):
    if mode == "hang":
        print("half", flush=True)
        time.sleep(60)
print("ready", flush=True)
sys.stdin.readline()
pixels = open_images(files, (24, 16), memory=0, cache=folder, progress=step)
print(pixels.kept, hashlib.sha256(pixels.read(np.arange(len(files))).tobytes()).hexdigest(), flush=True)
"""


def _start(files: list[Path], folder: Path, mode: str) -> subprocess.Popen[str]:
    source = Path(pixel_cache.__file__).parents[2]
    command = [sys.executable, "-c", MAKE, str(source), str(folder), mode, *map(str, files)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_make_it_at_once(files: list[Path], folder: Path):
    many = files * 40
    processes = [_start(many, folder, "both") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0] for process in processes]
    expected = hashlib.sha256(decoded(many).tobytes()).hexdigest()
    assert found == [f"file {expected}\n"] * 2
    assert len(in_the_folder(folder)) == 1
    np.testing.assert_array_equal(opened(many, folder).read(np.arange(360)), decoded(many))


def test_a_draft_of_the_living_stays_and_of_the_killed_goes(files: list[Path], folder: Path):
    with _start(files, folder, "hang") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "half\n"]
        opened(files[:3], folder)
        assert len(in_the_folder(folder)) == 2 and in_the_folder(folder)[0].endswith(".part")
        process.send_signal(signal.SIGKILL)
    assert len(in_the_folder(folder)) == 2
    opened(files[:3], folder)  # nothing is made, so nothing is cleared
    assert len(in_the_folder(folder)) == 2
    assert opened(files, folder).kept == "file"
    assert len(in_the_folder(folder)) == 2 and not any(name.endswith(".part") for name in in_the_folder(folder))


def test_an_interrupted_opening_leaves_no_file(files: list[Path], folder: Path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    descriptors = len(os.listdir("/dev/fd"))
    with pytest.raises(KeyboardInterrupt):
        opened(files, folder, workers=2, progress=interrupt)
    assert in_the_folder(folder) == [] and len(os.listdir("/dev/fd")) == descriptors


def test_nothing_stays_open(files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch):
    gc.collect()  # what other tests have left
    descriptors = len(os.listdir("/dev/fd"))
    for _ in range(3):
        opened(files, folder).read(np.arange(9))
        monkeypatch.setattr(pixel_cache, "_decoder", lambda: "a later version")
    monkeypatch.setattr(os, "posix_fallocate", _raising(errno.ENOSPC))
    opened(files[:2], folder)
    gc.collect()
    assert len(os.listdir("/dev/fd")) == descriptors


def test_few_images_are_held_while_the_file_is_made(tmp_path: Path, folder: Path, rng: np.random.Generator):
    image = write_image(tmp_path / "one.jpg", rng)
    names = [tmp_path / f"{number}.jpg" for number in range(2000)]
    for name in names:
        os.link(image, name)
    size = (48, 32)
    all_of_them = 2000 * 48 * 32 * 3

    def peak(**options) -> int:
        tracemalloc.start()
        pixels = open_images(names, size, workers=2, **options)
        pixels.read(np.arange(100))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak() > all_of_them  # so this sees pixels
    assert peak(memory=0, cache=folder) < 0.25 * all_of_them
    assert peak(memory=0, cache=folder) < 0.25 * all_of_them  # found


def test_images_lost_in_mid_run_are_black_and_noted_once(files: list[Path], folder: Path):
    expected = decoded(files)
    again, stored, in_file = open_images(files, SIZE, memory=0), open_images(files, SIZE), opened(files, folder)
    content = files[3].read_bytes()
    files[3].write_bytes(b"")
    files[8].unlink()
    for pixels in (stored, in_file):
        batch, was_read = pixels.read_some(np.array([3, 8, 0]))
        np.testing.assert_array_equal(batch, expected[[3, 8, 0]])
        assert was_read.tolist() == [True] * 3 and pixels.lost == ()

    rows = np.array([8, 1, 3, 3, 0])
    readers = [threading.Thread(target=lambda: [again.read_some(rows) for _ in range(20)]) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    batch, was_read = again.read_some(rows)
    assert was_read.tolist() == [False, True, False, False, True]
    np.testing.assert_array_equal(batch[was_read], expected[rows[was_read]])
    assert not batch[~was_read].any()
    assert [(image.path, image.reason) for image in again.lost] == [
        (str(files[8]), "there is no such file"),
        (str(files[3]), "the file is empty (0 bytes)"),
    ]
    assert again.readable.all() and again.broken == ()  # as they were when opened
    with pytest.raises(ImageError, match="could be read before and cannot now: the file is empty"):
        again.read(np.array([0, 3]))
    files[3].write_bytes(content)  # a server that came back
    assert again.read_some(np.array([3]))[1].all() and len(again.lost) == 2
    np.testing.assert_array_equal(again.read(np.array([3])), expected[[3]])
