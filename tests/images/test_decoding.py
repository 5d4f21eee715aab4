"""Decoding against Pillow, and the files that real folders contain."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from reunite.errors import ImageError, InputError
from reunite.images.decoding import decode, decode_within, resize


@pytest.fixture
def photo(rng: np.random.Generator) -> np.ndarray:
    """Smooth colours with some texture, 96 x 64."""
    coarse = rng.integers(0, 256, (9, 6, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (64, 96), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces any size at the price of a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_pixels_are_those_of_pillow(tmp_path: Path, photo: np.ndarray, kind: str, options: dict):
    path = written(tmp_path, "image.anything", encoded(photo, kind, **options))
    pixels = decode(path)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, by_pillow(path))
    np.testing.assert_array_equal(decode(str(path)), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, photo: np.ndarray, kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    path = written(tmp_path, "turned", encoded(photo, kind, exif=exif))
    np.testing.assert_array_equal(decode(path), by_pillow(path))
    # Turned after it was made small, too: for a JPEG the scale must have been chosen for the sides as they are stored.
    size = (12, 16)
    plain = decode(written(tmp_path, "plain", encoded(photo, kind)), size if orientation < 5 else size[::-1])
    small = written(tmp_path, "small", encoded(plain, "PNG", exif=exif))
    np.testing.assert_allclose(decode(path, size), by_pillow(small), atol=1)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0??",
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0",  # orientation 99
    ],
)
def test_malformed_exif_is_upright_and_silent(tmp_path: Path, photo: np.ndarray, exif: bytes):
    path = written(tmp_path, "image.jpg", encoded(photo, "JPEG", exif=exif))
    assert decode(path).shape == photo.shape
    cmyk = written(tmp_path, "cmyk.jpg", encoded(Image.fromarray(photo).convert("CMYK"), "JPEG", exif=exif))
    assert decode(cmyk).shape == photo.shape  # through Pillow, which would warn


def test_cmyk_jpeg(tmp_path: Path, photo: np.ndarray):
    path = written(tmp_path, "print.jpg", encoded(Image.fromarray(photo).convert("CMYK"), "JPEG", quality=95))
    np.testing.assert_array_equal(decode(path), by_pillow(path))


def test_grey_and_bilevel_become_three_equal_channels(tmp_path: Path, photo: np.ndarray):
    for mode, kind in [("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("P", "GIF")]:
        source = Image.fromarray(photo[:, :, 0]).convert(mode)
        path = written(tmp_path, f"{mode}.{kind}", encoded(source, kind))
        pixels = decode(path)
        assert (pixels == pixels[:, :, :1]).all()
        np.testing.assert_array_equal(pixels, by_pillow(path))


def test_sixteen_bits_keep_the_high_byte(tmp_path: Path, rng: np.random.Generator):
    deep = rng.integers(0, 65536, (7, 5)).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = decode(written(tmp_path, kind, encoded(Image.fromarray(deep), kind)))
        np.testing.assert_array_equal(pixels, np.repeat((deep // 256)[:, :, None], 3, axis=2))


def test_thirty_two_bits_are_refused(tmp_path: Path):
    path = written(tmp_path, "depth.tiff", encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))
    with pytest.raises(ImageError, match="32-bit"):
        decode(path)


def test_transparency_is_laid_on_white(tmp_path: Path, photo: np.ndarray):
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 255, 51
    rgba = np.dstack([photo, alpha])
    share = alpha[:, :, None] / 255
    expected = photo * share + 255 * (1 - share)
    for kind in ("PNG", "TIFF"):
        pixels = decode(written(tmp_path, kind, encoded(rgba, kind)))
        np.testing.assert_allclose(pixels, expected, atol=1)
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for transparency in (1, b"\xff\x00"):
        path = written(tmp_path, "palette.png", encoded(palette, "PNG", transparency=transparency))
        np.testing.assert_array_equal(decode(path), [[[10, 20, 30], [255, 255, 255]]])


def test_first_frame_of_an_animation(tmp_path: Path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "lime")]
    for kind in ("GIF", "PNG", "WEBP"):
        data = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], **({} if kind != "WEBP" else {"lossless": True})
        )
        np.testing.assert_array_equal(decode(written(tmp_path, kind, data)), np.full((4, 6, 3), (255, 0, 0)))


def test_one_pixel(tmp_path: Path):
    for kind in ("PNG", "JPEG", "GIF"):
        path = written(tmp_path, kind, encoded(np.full((1, 1, 3), 128, np.uint8), kind))
        assert decode(path).shape == (1, 1, 3)
        large = decode(path, (256, 128))
        assert large.shape == (256, 128, 3) and (large == large[0, 0]).all()


def test_names_with_spaces_and_unicode(tmp_path: Path, photo: np.ndarray):
    path = written(tmp_path, "Šárka и 斑馬 (1) #2 %20.jpg", encoded(photo, "JPEG"))
    assert decode(path).shape == photo.shape


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_truncated(tmp_path: Path, photo: np.ndarray, kind: str, share: float, capfd: pytest.CaptureFixture):
    data = encoded(photo, kind)
    if kind == "PNG":
        data = data[:-12]  # without its end chunk a PNG is whole; cut into what is left
    path = written(tmp_path, "cut.img", data[: max(1, int(share * len(data)))])
    with pytest.raises(ImageError, match=r"cut\.img .*(truncated or damaged|not an image)"):
        decode(path)
    assert capfd.readouterr().err == ""


def test_any_cut_of_a_jpeg_is_an_image_error_or_an_image(tmp_path: Path, photo: np.ndarray):
    data = encoded(photo[:16, :16], "JPEG")
    for cut in range(1, len(data) - 2, 7):
        with pytest.raises(ImageError):
            decode(written(tmp_path, "cut.jpg", data[:cut]))
    assert decode(written(tmp_path, "longer.jpg", data + b"appended by a camera")).shape == (16, 16, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP", "PPM"])
def test_damaged_bytes_never_escape_as_other_errors(
    tmp_path: Path, photo: np.ndarray, kind: str, rng: np.random.Generator, capfd: pytest.CaptureFixture
):
    data = np.frombuffer(encoded(photo[:24, :20], kind), np.uint8)
    for _ in range(25):
        damaged = data.copy()
        damaged[rng.integers(8, min(len(data), 400), 6)] = rng.integers(0, 256, 6)
        path = written(tmp_path, "damaged", damaged.tobytes())
        try:
            assert decode(path, max_pixels=10_000).shape[2] == 3
        except ImageError as error:
            assert "damaged" in str(error)
    assert capfd.readouterr().err == ""


def test_reasons(tmp_path: Path):
    (tmp_path / "folder.jpg").mkdir()
    cases = {
        "missing.jpg": "no such file",
        "folder.jpg": "a directory",
        "empty.jpg": "empty",
        "text.jpg": "not an image",
        "zero\0byte.jpg": "cannot be read",
    }
    written(tmp_path, "empty.jpg", b"")
    written(tmp_path, "text.jpg", b"<html>404 not found</html>")
    for name, reason in cases.items():
        with pytest.raises(ImageError, match=reason) as raised:
            decode(tmp_path / name)
        assert name in str(raised.value)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(ImageError, match="not a regular file"):
            decode(tmp_path / "pipe.jpg")


def test_no_permission(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path, "secret.png", encoded(photo, "PNG"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)  # root, who runs tests in containers, may read everything
    with pytest.raises(ImageError, match=r"secret\.png .*permission denied"):
        decode(path)


def test_bombs_are_refused_from_the_header(tmp_path: Path, photo: np.ndarray):
    with pytest.raises(ImageError, match=r"1,000,000 x 2,000,000 pixels.*100,000,000"):
        decode(written(tmp_path, "bomb.png", png_header(2_000_000, 1_000_000)))
    jpeg = bytearray(encoded(photo, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_000, 64_000)
    with pytest.raises(ImageError, match="65,000 x 64,000"):
        decode(written(tmp_path, "bomb.jpg", bytes(jpeg)), (48, 48))
    for kind in ("JPEG", "PNG"):
        path = written(tmp_path, kind, encoded(photo, kind))
        assert decode(path, max_pixels=96 * 64).shape == photo.shape
        with pytest.raises(ImageError, match="96 x 64"):
            decode(path, max_pixels=96 * 64 - 1)


def test_the_limit_of_pillow_is_neither_used_nor_changed(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96 * 64 - 1)  # Image.open would warn
    for kind in ("PNG", "TIFF", "GIF", "BMP"):
        assert decode(written(tmp_path, kind, encoded(photo, kind))).shape == photo.shape
    assert Image.MAX_IMAGE_PIXELS == 96 * 64 - 1


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (4, 4, 3), (4.5, 4)])
def test_sizes_are_checked(tmp_path: Path, size: tuple):
    with pytest.raises(InputError, match="height, width"):
        decode(tmp_path / "any.jpg", size)


@given(st.tuples(*[st.integers(1, 40)] * 4), st.integers(0, 255))
@settings(deadline=None, max_examples=50)
def test_resizing_keeps_a_plain_colour_and_gives_the_size(sides: tuple[int, int, int, int], level: int):
    plain = np.full((sides[0], sides[1], 3), level, np.uint8)
    resized = resize(plain, sides[2:])
    assert resized.shape == (*sides[2:], 3) and (resized == level).all()


def test_shrinking_averages_areas(photo: np.ndarray):
    expected = photo.reshape(24, 4, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(photo, (24, 16)), expected, atol=0.51)
    # The side that grows is interpolated after the other was averaged.
    mixed = resize(photo, (24, 128))
    narrow = resize(photo, (24, 64))
    np.testing.assert_array_equal(mixed, cv2.resize(narrow, (128, 24), interpolation=cv2.INTER_CUBIC))


def test_large_photos_come_out_nearly_as_from_all_their_pixels(tmp_path: Path, photo: np.ndarray):
    large = cv2.resize(photo, (800, 1200), interpolation=cv2.INTER_CUBIC)
    path = written(tmp_path, "large.jpg", encoded(large, "JPEG", quality=95))
    difference = decode(path, (96, 64)).astype(int) - resize(decode(path), (96, 64))
    assert 0 < np.abs(difference).mean() < 0.5  # 0 would mean that the reduced scale was not used
    barely = decode(path, (400, 250))
    np.testing.assert_array_equal(barely, resize(decode(path), (400, 250)))


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((1200, 400), (100, 100), (100, 33)),
        ((400, 1200), (100, 100), (33, 100)),
        ((60, 40), (100, 100), (60, 40)),
        ((3000, 3), (50, 50), (50, 1)),
        ((300, 200), (90, 300), (90, 60)),
    ],
)
def test_within_a_box_sides_stay_in_proportion(tmp_path: Path, kind: str, size: tuple, box: tuple, expected: tuple):
    path = tmp_path / f"a.{kind}"
    ramp = np.linspace(0, 255, size[0])[:, None, None] * np.ones((1, size[1], 3))
    assert cv2.imwrite(str(path), ramp.astype(np.uint8))
    small = decode_within(path, box)
    assert small.shape == (*expected, 3)
    assert np.abs(small.astype(int) - resize(decode(path), expected)).max() <= 4


@pytest.mark.parametrize("orientation", [1, 6])
def test_within_a_box_a_turned_photo_is_upright(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (1600, 400)).save(tmp_path / "a.jpg", exif=exif)
    assert decode_within(tmp_path / "a.jpg", (80, 200)).shape == ((50, 200, 3) if orientation == 1 else (80, 20, 3))


def test_within_a_box_errors_are_those_of_decode(tmp_path: Path):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    for name in ("text.jpg", "cut.jpg", "gone.jpg"):
        with pytest.raises(ImageError, match=f"Cannot read .*{name}"):
            decode_within(tmp_path / name, (10, 10))
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="more than the limit"):
        decode_within(tmp_path / "a.jpg", (10, 10), max_pixels=100)
    with pytest.raises(InputError, match="two positive whole numbers"):
        decode_within(tmp_path / "a.jpg", (10, 0))
