"""One image file to RGB pixels.

JPEG, by far the most common, goes through libjpeg-turbo (simplejpeg). Whatever that refuses, and every other format,
goes through Pillow, whose verdict is final: an image that Pillow reads is an image.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from reunite.errors import ImageError, InputError

Pixels8 = UInt8[np.ndarray, "height width 3"]

_OPENERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    **{b"P%d" % kind: "PPM" for kind in range(1, 7)},
}

# Warning filters belong to the whole process, so only one thread at a time may change them.
_warning_filters = threading.Lock()


class Refused(Exception):
    """A file that is not read as an image. The text is the reason, without the file's name."""


def decode(
    path: str | Path, size: tuple[int, int] | None = None, max_pixels: int = 100_000_000
) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of one image file, as RGB and upright.

    The EXIF orientation is applied. Transparent pixels are laid on white. Sixteen-bit samples keep their high byte.
    Of an animation the first frame is taken. CMYK and palettes are converted by Pillow; colour profiles are ignored.

    Each side that shrinks is averaged over areas (OpenCV's INTER_AREA, no aliasing), then each side that grows is
    interpolated with cubics (INTER_CUBIC, a = -0.75, where Pillow's bicubic has a = -0.5). A JPEG at least four times
    as large as wanted is decoded at a reduced scale (libjpeg's scaled DCT) that leaves twice the size wanted, and is
    averaged from there: a photo of 12 megapixels in less than half the time, 0.3 levels off on average.

    Args:
        path: a JPEG, PNG, WebP, TIFF, GIF, BMP or PPM file, recognised by its first bytes, not its name.
        size: (height, width) to resize to; None keeps the size of the file.
        max_pixels: images whose header announces more are refused before anything is decoded.

    Raises:
        ImageError: no such file, a directory, no permission, empty, not an image, truncated, or too many pixels.
        InputError: a size that is not two positive numbers.
    """
    check_size(size)
    try:
        return read_pixels(path, size, max_pixels)
    except Refused as reason:
        raise ImageError(f"Cannot read {path} as an image: {reason}.") from reason.__cause__


def decode_within(
    path: str | Path, box: tuple[int, int], max_pixels: int = 100_000_000
) -> UInt8[np.ndarray, "height width 3"]:
    """As `decode`, made to fit into `box`, (height, width), with its sides in proportion; a smaller image stays as it is.

    For pictures of pictures: a JPEG much larger than the box is decoded at a reduced scale.

    Raises:
        ImageError, InputError: as `decode`.
    """
    check_size(box)
    try:
        data = _content(path)
        kind = _kind(data)
        pixels = _turbo(data, _announced_within(data, box), max_pixels) if kind == "JPEG" else None
        if pixels is None:
            pixels = _pillow(data, kind, max_pixels)
    except Refused as reason:
        raise ImageError(f"Cannot read {path} as an image: {reason}.") from reason.__cause__
    return resize(pixels, _fit(pixels.shape[0], pixels.shape[1], box))


def _announced_within(data: bytes, box: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width that a JPEG will have within the box, upright; None where its header cannot be read."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return _fit(*((height, width) if _orientation(_jpeg_exif(data)) < 5 else (width, height)), box)


def _fit(height: int, width: int, box: tuple[int, int]) -> tuple[int, int]:
    scale = min(box[0] / height, box[1] / width, 1.0)
    return max(1, round(height * scale)), max(1, round(width * scale))


def check_size(size: tuple[int, int] | None) -> None:
    """Raises InputError unless `size` is None or (height, width), two positive whole numbers."""
    if size is None:
        return
    if len(size) != 2 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in size):
        raise InputError(f"size must be (height, width), two positive whole numbers of pixels; got {size!r}.")


def read_pixels(path: str | Path, size: tuple[int, int] | None, max_pixels: int = 100_000_000) -> Pixels8:
    """As `decode`, for callers who name the file themselves.

    Raises:
        Refused: the file is not read as an image.
    """
    data = _content(path)
    kind = _kind(data)
    pixels = _turbo(data, size, max_pixels) if kind == "JPEG" else None
    if pixels is None:
        pixels = _pillow(data, kind, max_pixels)
    return pixels if size is None else resize(pixels, size)


def resize(pixels: Pixels8, size: tuple[int, int]) -> Pixels8:
    """The image at (height, width): sides that shrink by area averages first, then sides that grow by cubics."""
    height, width = pixels.shape[:2]
    shrunk = (min(height, size[0]), min(width, size[1]))
    if shrunk != (height, width):
        pixels = cv2.resize(pixels, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != tuple(size):
        pixels = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return pixels


def _content(path: str | Path) -> bytes:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise Refused("it is a directory")
        if not stat.S_ISREG(mode):
            raise Refused("it is not a regular file")  # opening a named pipe would wait for ever
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        raise Refused("there is no such file") from None
    except PermissionError:
        raise Refused("permission denied") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        raise Refused(f"the file cannot be read ({error})") from error
    if not data:
        raise Refused("the file is empty (0 bytes)")
    return data


def _kind(data: bytes) -> str:
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise Refused(f"it is not an image, or of a format that is not read ({', '.join(_OPENERS)} are)")


def _check_pixels(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise Refused(
            f"it announces {height:,} x {width:,} pixels, more than the limit of {max_pixels:,}; make it smaller first"
        )


def _turbo(data: bytes, size: tuple[int, int] | None, max_pixels: int) -> Pixels8 | None:
    """The pixels of a JPEG, perhaps reduced to no less than twice `size`; None where libjpeg-turbo refuses it."""
    orientation = _orientation(_jpeg_exif(data))
    # Reduced straight to the size wanted, fine texture would come out differently from an area average.
    low = (0, 0) if size is None else (2 * size[0], 2 * size[1])
    rows, columns = low if orientation < 5 else low[::-1]
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_pixels(height, width, max_pixels)
        if colours not in ("YCbCr", "RGB", "Gray"):
            return None
        pixels = simplejpeg.decode_jpeg(data, min_height=rows, min_width=columns, min_factor=2)
    except ValueError:
        return None
    return _upright(pixels, orientation)


def _pillow(data: bytes, kind: str, max_pixels: int) -> Pixels8:
    # Pillow warns about odd metadata in these formats; we neither show that nor let it depend on the user's filters.
    chatty = kind in ("JPEG", "TIFF", "GIF") or b"acTL" in data
    try:
        with _no_warnings() if chatty else nullcontext():
            # The format's own class, because Image.open warns about sizes, or refuses them, by a global limit.
            image = _OPENERS[kind](io.BytesIO(data))
            _check_pixels(image.height, image.width, max_pixels)
            image.load()
            exif = _jpeg_exif(data) if kind == "JPEG" else image.info.get("exif", b"")
            pixels = _rgb(image, kind)
    except (Refused, MemoryError):
        raise
    except (
        Exception
    ) as error:  # damaged bytes raise nearly anything: OSError, SyntaxError, struct.error, IndexError, ...
        raise Refused(f"it is truncated or damaged ({kind}: {error})") from error
    return pixels if kind == "TIFF" else _upright(pixels, _orientation(exif))  # Pillow turns TIFF itself


def _rgb(image: Image.Image, kind: str) -> Pixels8:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise Refused(f"its samples are 32-bit ({image.mode}), which have no agreed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _upright(pixels: Pixels8, orientation: int) -> Pixels8:
    """The image as the camera's owner held it (EXIF 2.3, tag 0x0112)."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _jpeg_exif(data: bytes) -> bytes:
    """The EXIF block of a JPEG, empty if there is none."""
    if data.find(b"Exif\0\0", 0, 1 << 17) < 0:
        return b""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:  # 0xDA: the pixels begin
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _orientation(exif: bytes) -> int:
    """EXIF orientation, 1 to 8. Anything malformed counts as upright, as in every viewer; Pillow would warn."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


@contextmanager
def _no_warnings() -> Iterator[None]:
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
