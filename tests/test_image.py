"""Pictures as cameras, telephones, scanners and programs write them: each comes out as a viewer shows it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from edgeface.config import Limits
from edgeface.errors import ImageError
from edgeface.sources import is_image, read_image, read_picture
from edgeface.sources.header import sniff

W, H = 48, 32
QUADRANTS = {
    "top left": (230, 40, 40),
    "top right": (40, 200, 40),
    "bottom left": (40, 60, 220),
    "rest": (250, 250, 120),
}


def rgb() -> np.ndarray:
    """Four quadrants of different colours, so that every turn and flip and every exchange of channels shows."""
    picture = np.empty((H, W, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:], picture[16:, :24], picture[16:, 24:] = QUADRANTS.values()
    return picture


def grey() -> np.ndarray:
    return np.asarray(Pillow.fromarray(rgb()).convert("L"))


def save(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pil(mode: str = "RGB") -> Pillow.Image:
    return Pillow.fromarray(rgb()).convert(mode)


def stored(orientation: int) -> tuple[Pillow.Image, Pillow.Exif]:
    """The picture as a camera held in that way stores it, with the tag that says so."""
    undo = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    picture = pil()
    return (picture.transpose(undo[orientation]) if orientation in undo else picture), exif


def oriented(kind: str, orientation: int, **options: Any) -> bytes:
    picture, exif = stored(orientation)
    return save(picture, kind, exif=exif, **options)


def with_alpha(mode: str = "RGBA") -> Pillow.Image:
    """Bottom half transparent, with colours below that must not show."""
    picture = pil("RGBA" if mode == "RGBA" else "LA")
    alpha = np.full((H, W), 255, np.uint8)
    alpha[16:] = 0
    picture.putalpha(Pillow.fromarray(alpha))
    return picture


def over_white(picture: np.ndarray) -> np.ndarray:
    shown: np.ndarray = picture.copy()
    shown[16:] = 255
    return shown


def animation(kind: str) -> bytes:
    return save(pil("RGB"), kind, save_all=True, append_images=[Pillow.new("RGB", (W, H))] * 3, duration=80)


def png(depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes], wh: tuple[int, int] = (W, H)) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", *wh, depth, colour, 0, 0, 0)
    parts = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def png16(picture: np.ndarray) -> bytes:
    deep = picture.astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    return png(16, 0 if picture.ndim == 2 else 2, rows)


def cv(suffix: str, picture: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, picture if picture.ndim == 2 else picture[..., ::-1], list(options))
    assert done
    return data.tobytes()


def bmp(bits: int, *, top_down: bool = False, header: int = 40) -> bytes:
    picture = rgb()[..., ::-1]
    if bits == 16:
        b, g, r = (picture[..., i].astype(np.uint16) for i in range(3))
        pixels = ((r >> 3) << 10 | (g >> 3) << 5 | b >> 3).astype("<u2").view(np.uint8).reshape(H, -1)
    else:
        full = np.dstack([picture, np.zeros((H, W), np.uint8)]) if bits == 32 else picture
        pixels = full.reshape(H, -1)
    body = (pixels if top_down else pixels[::-1]).tobytes()
    if header == 12:
        head = struct.pack("<IHHHH", 12, W, H, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", 40, W, -H if top_down else H, 1, bits, 0, len(body), 2835, 2835, 0, 0)
    offset = 14 + len(head)
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + head + body


def tiff(picture: Pillow.Image, **options: Any) -> bytes:
    return save(picture, "TIFF", **options)


def tiff_turned(orientation: int) -> bytes:
    return tiff(stored(orientation)[0], tiffinfo={0x0112: orientation})


RGB, GREY = "rgb", "grey"
WHITE, GREY_WHITE = "rgb over white", "grey over white"
WANTED: dict[str, Callable[[], np.ndarray]] = {
    RGB: rgb,
    GREY: lambda: np.repeat(grey()[..., None], 3, axis=2),
    WHITE: lambda: over_white(rgb()),
    GREY_WHITE: lambda: over_white(np.repeat(grey()[..., None], 3, axis=2)),
}

CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg": (lambda: save(pil(), "JPEG", quality=95), RGB),
    **{f"jpeg held {n}": (lambda n=n: oriented("JPEG", n, quality=95), RGB) for n in range(1, 9)},  # type: ignore[misc]
    "jpeg orientation 0": (lambda: save(pil(), "JPEG", quality=95, exif=stored(0)[1]), RGB),
    "jpeg orientation 99": (lambda: save(pil(), "JPEG", quality=95, exif=stored(99)[1]), RGB),
    "jpeg broken exif": (lambda: save(pil(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), RGB),
    "jpeg grey": (lambda: save(pil("L"), "JPEG", quality=95), GREY),
    "jpeg cmyk as Adobe writes it": (lambda: save(pil("CMYK"), "JPEG", quality=95), RGB),
    "jpeg progressive": (lambda: save(pil(), "JPEG", quality=95, progressive=True), RGB),
    "jpeg 4:4:4": (lambda: save(pil(), "JPEG", quality=95, subsampling=0), RGB),
    "jpeg kept in rgb": (lambda: save(pil(), "JPEG", quality=95, keep_rgb=True), RGB),
    "jpeg restart markers": (lambda: save(pil(), "JPEG", quality=95, restart_marker_blocks=2), RGB),
    "jpeg after other bytes": (lambda: b"\r\n--frame\r\n\r\n" + save(pil(), "JPEG", quality=95), RGB),
    "jpeg before other bytes": (lambda: save(pil(), "JPEG", quality=95) + b"\0" * 777 + b"ftypmp42", RGB),
    "jpeg with a second picture (MPO)": (
        lambda: save(pil(), "MPO", quality=95, save_all=True, append_images=[Pillow.new("RGB", (W, H))]),
        RGB,
    ),
    "jpeg with a profile and a comment": (
        lambda: save(pil(), "JPEG", quality=95, icc_profile=b"\0" * 70_000, comment=b"\xff\xd8\xff\xd9"),
        RGB,
    ),
    "png": (lambda: save(pil(), "PNG"), RGB),
    "png grey": (lambda: save(pil("L"), "PNG"), GREY),
    "png palette": (lambda: save(pil().quantize(8), "PNG"), RGB),
    "png palette of two bits": (lambda: save(pil().quantize(4), "PNG", bits=2), RGB),
    "png rgba": (lambda: save(with_alpha(), "PNG"), WHITE),
    "png grey and alpha": (lambda: save(with_alpha("LA"), "PNG"), GREY_WHITE),
    "png palette and transparency": (lambda: save(with_alpha().quantize(8), "PNG"), WHITE),
    "png rgb of 16 bits": (lambda: png16(rgb()), RGB),
    "png grey of 16 bits": (lambda: png16(grey()), GREY),
    "png held 6": (lambda: oriented("PNG", 6), RGB),
    "png animated": (lambda: animation("PNG"), RGB),
    "gif": (lambda: save(pil().quantize(8), "GIF"), RGB),
    "gif animated": (lambda: animation("GIF"), RGB),
    "gif transparent": (lambda: save(with_alpha(), "GIF"), WHITE),
    "webp": (lambda: save(pil(), "WEBP", quality=98), RGB),
    "webp lossless": (lambda: save(pil(), "WEBP", lossless=True), RGB),
    "webp alpha": (lambda: save(with_alpha(), "WEBP", lossless=True), WHITE),
    "webp animated": (lambda: animation("WEBP"), RGB),
    **{f"webp held {n}": (lambda n=n: oriented("WEBP", n, lossless=True), RGB) for n in (3, 6, 8)},  # type: ignore[misc]
    "tiff": (lambda: tiff(pil()), RGB),
    "tiff lzw": (lambda: tiff(pil(), compression="tiff_lzw"), RGB),
    "tiff jpeg": (lambda: tiff(pil(), compression="jpeg", quality=95), RGB),
    "tiff big": (lambda: tiff(pil(), big_tiff=True), RGB),
    "tiff grey": (lambda: tiff(pil("L")), GREY),
    "tiff palette": (lambda: tiff(pil().quantize(8)), RGB),
    "tiff cmyk": (lambda: tiff(pil("CMYK")), RGB),
    "tiff rgba": (lambda: tiff(with_alpha()), WHITE),
    "tiff float 0 to 1": (lambda: tiff(Pillow.fromarray(grey().astype(np.float32) / 255)), GREY),
    "tiff of 16 bits": (lambda: cv(".tiff", rgb().astype(np.uint16) * 257), RGB),
    "tiff grey of 16 bits": (lambda: tiff(Pillow.fromarray(grey().astype(np.uint16) * 257)), GREY),
    "tiff of several pages": (lambda: tiff(pil(), save_all=True, append_images=[Pillow.new("RGB", (90, 9))]), RGB),
    **{f"tiff held {n}": (lambda n=n: tiff_turned(n), RGB) for n in range(1, 9)},  # type: ignore[misc]
    "bmp": (lambda: bmp(24), RGB),
    "bmp of 32 bits, alpha unused": (lambda: bmp(32), RGB),
    "bmp of 16 bits": (lambda: bmp(16), RGB),
    "bmp top down": (lambda: bmp(24, top_down=True), RGB),
    "bmp of OS/2": (lambda: bmp(24, header=12), RGB),
    "bmp palette": (lambda: save(pil().quantize(8), "BMP"), RGB),
    "bmp grey": (lambda: save(pil("L"), "BMP"), GREY),
    "ppm": (lambda: cv(".ppm", rgb()), RGB),
    "pgm": (lambda: cv(".pgm", grey()), GREY),
    "jpeg 2000": (lambda: cv(".jp2", rgb()), RGB),
}


@pytest.mark.parametrize("name", list(CASES))
def test_seen_as_a_viewer_shows_it(name: str, tmp_path: Path) -> None:
    make, wanted = CASES[name]
    path = tmp_path / ("picture." + name.split(maxsplit=1)[0].replace("jpeg", "jpg"))
    path.write_bytes(make())
    assert is_image(path)
    image = read_image(path, Limits(megapixels=220))
    assert image.shape == (H, W, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    off = np.abs(image[..., ::-1].astype(int) - WANTED[wanted]())
    # Lossy formats smear the two seams, nothing else.
    off[14:18] = off[:, 22:26] = 0
    assert off.max() <= 14, f"off by {off.max()} at {np.unravel_index(off.argmax(), off.shape)}"


def no_avif() -> bool:
    return "AVIF" not in {line.split(":")[0].strip() for line in cv2.getBuildInformation().splitlines()}


@pytest.mark.skipif(no_avif(), reason="this OpenCV has no AVIF")
@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        pytest.param(lambda: save(pil(), "AVIF", quality=95), RGB, id="plain"),
        pytest.param(lambda: save(with_alpha(), "AVIF", quality=95), WHITE, id="alpha"),
        *(pytest.param(lambda n=n: oriented("AVIF", n, quality=95), RGB, id=f"held {n}") for n in range(1, 9)),
    ],
)
def test_avif_where_opencv_has_it(make: Callable[[], bytes], wanted: str, tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(make())
    image = read_image(tmp_path / "a.avif", Limits(megapixels=220))
    assert image.shape == (H, W, 3)
    off = np.abs(image[..., ::-1].astype(int) - WANTED[wanted]())
    off[13:19] = off[:, 21:27] = 0
    assert off.max() <= 14


def truncated(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def noise(wh: tuple[int, int] = (300, 200)) -> Pillow.Image:
    return Pillow.fromarray(np.random.default_rng(1).integers(0, 255, (wh[1], wh[0], 3), np.uint8))


def wrong_length(length: int) -> bytes:
    """A PNG whose picture data says it is longer than it is; the decoder would reserve what it says."""
    data = save(noise(), "PNG")
    at = data.index(b"IDAT") - 4
    return data[:at] + struct.pack(">I", length) + data[at + 4 :]


def tiled(side: int) -> bytes:
    """A TIFF of 16x16 pixels in one tile of ``side`` squared."""
    tags = [(256, 16), (257, 16), (258, 8), (259, 1), (262, 1), (277, 1), (322, side), (323, side), (324, 8), (325, 99)]
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + b"\0" * 4


def webp_of(side: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + (side - 1).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bigger_codestream(side: int) -> bytes:
    """A JPEG 2000 whose box says 48x32, and whose codestream, which the decoder believes, says more."""
    data = cv(".jp2", rgb())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (lambda: b"", "is empty; copy it again"),
    "text.jpg": (lambda: b"<html>not found</html>", "is not a picture that can be decoded; convert it"),
    "vector.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture that can be decoded"),
    "paper.jpg": (lambda: b"%PDF-1.7\n%", "is not a picture that can be decoded"),
    "half.jpg": (lambda: truncated(save(noise(), "JPEG"), 0.5), "is truncated"),
    "nearly all.jpg": (lambda: truncated(save(noise(), "JPEG"), 0.98), "is truncated"),
    "headers only.jpg": (lambda: save(noise(), "JPEG")[:300], "is truncated"),
    "three bytes.jpg": (lambda: b"\xff\xd8\xff", "is truncated"),
    "half progressive.jpg": (lambda: truncated(save(noise(), "JPEG", progressive=True), 0.3), "is truncated"),
    "half.png": (lambda: truncated(save(noise(), "PNG"), 0.5), "is truncated"),
    "half.webp": (lambda: truncated(save(noise(), "WEBP"), 0.5), "is truncated"),
    "half.bmp": (lambda: truncated(save(noise(), "BMP"), 0.5), "is truncated"),
    "half.gif": (lambda: truncated(save(noise(), "GIF"), 0.5), "truncated|cannot|can be decoded"),
    "half.tiff": (lambda: truncated(tiff(noise()), 0.5), "truncated|can be decoded"),
    "half.avif": (lambda: truncated(save(noise(), "AVIF"), 0.5), "truncated|can be decoded"),
    "phone.heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64, "HEIC.*heif-convert IN.heic OUT.jpg"),
    "renamed.jpg": (lambda: b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"\0" * 64, "HEIC.*heif-convert"),
    "bomb.png": (lambda: png(1, 0, b"", wh=(60_000, 60_000)), "has 60000x60000 pixels, more than 20 megapixels; raise"),
    "bomb.gif": (lambda: b"GIF89a\xff\xff\xff\xff\0\0\0;", "has 65535x65535 pixels"),
    "bomb.ppm": (lambda: b"P6\n# x\n30000 30000\n255\n", "has 30000x30000 pixels"),
    "bomb.bmp": (lambda: bmp(24).replace(struct.pack("<ii", W, H), struct.pack("<ii", 40_000, 40_000)), "40000x40000"),
    "lies of its length.png": (lambda: wrong_length(0x00FFFF20), "is truncated; copy it again"),
    "lies a lot.png": (lambda: wrong_length(0x7FFFFFF0), "is truncated"),
    "lies most.png": (lambda: wrong_length(0xFFFFFFFF), "is truncated"),
    "bomb.tiff": (lambda: tiled(60_000), "has 60000x60000 pixels"),
    "bomb.webp": (lambda: webp_of(16_000), "has 16000x16000 pixels"),
    "bomb.jp2": (lambda: bigger_codestream(50_000), "has 50000x"),
    "bomb.pam": (lambda: b"P7\nWIDTH 30000\nHEIGHT 30000\nDEPTH 3\nMAXVAL 255\nENDHDR\n", "has 30000x30000 pixels"),
    "bomb.pfm": (lambda: b"PF\n30000 30000\n-1.0\n", "has 30000x30000 pixels"),
    "bomb.hdr": (lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n", "has 30000x30000 pixels"),
    "bomb.ras": (lambda: struct.pack(">8I", 0x59A66A95, 30_000, 30_000, 24, 0, 1, 0, 0), "has 30000x30000 pixels"),
    "zero.png": (lambda: png(8, 2, b"", wh=(0, 0)), "is not a picture that can be decoded"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused_in_one_line_with_the_fix(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(ImageError, match=words) as raised:
        read_image(tmp_path / name, Limits(megapixels=20))
    assert "\n" not in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)


def test_a_folder_with_a_pictures_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder, not a picture; give its files"):
        read_image(tmp_path, Limits(megapixels=20))


def test_a_file_that_vanished_or_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="cannot be read: No such file or directory; check path and permissions"):
        read_image(tmp_path / "gone.jpg", Limits(megapixels=20))

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match="cannot be read: Permission denied"):
        read_image(tmp_path / "secret.jpg", Limits(megapixels=20))


def test_a_jpeg_that_lacks_nothing_but_its_end_marker(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(save(pil(), "JPEG", quality=95)[:-2])
    assert read_image(tmp_path / "a.jpg", Limits(megapixels=20)).shape == (H, W, 3)


@pytest.mark.parametrize(
    "name",
    [
        "with space.png",
        "zeile\numbruch.png",
        "-n.png",
        "gesicht_\u00fc\u4eba.png",
        "no_suffix",
        "wrong.jpg",
        "a.PNG",
        "%s{0}.png",
    ],
)
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(save(pil(), "PNG"))
    assert is_image(tmp_path / name)
    assert (read_image(tmp_path / name, Limits(megapixels=20))[..., ::-1] == rgb()).all()


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    path.write_bytes(save(pil(), "PNG"))
    assert read_image(path, Limits(megapixels=20)).shape == (H, W, 3)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(save(pil(), "PNG"))
    (tmp_path / "link").symlink_to("a.png")
    assert is_image(tmp_path / "link")
    assert read_image(tmp_path / "link", Limits(megapixels=20)).shape == (H, W, 3)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_one_pixel(mode: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(save(Pillow.new(mode, (1, 1)), "PNG"))
    assert read_image(tmp_path / "a.png", Limits(megapixels=20)).shape == (1, 1, 3)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palettes_of_os2(bits: int, tmp_path: Path) -> None:
    colours = [(0, 0, 255), (255, 0, 0)]
    palette = b"".join(bytes(colours[i % 2]) for i in range(1 << bits))
    row = {1: b"\x40\0\0\0", 4: b"\x01\0\0\0", 8: b"\0\1\0\0"}[bits]
    offset = 26 + len(palette)
    head = struct.pack("<2sIHHIIHHHH", b"BM", offset + 4, 0, 0, offset, 12, 2, 1, 1, bits)
    (tmp_path / "a.bmp").write_bytes(head + palette + row)
    assert read_image(tmp_path / "a.bmp", Limits(megapixels=20)).tolist() == [[[0, 0, 255], [255, 0, 0]]]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        pytest.param([0.0, 0.5, 1.0], [0, 128, 255], id="0 to 1"),
        pytest.param([0.0, 1000.0, 4000.0], [0, 64, 255], id="any range"),
        pytest.param([-1.0, 0.0, 1.0], [0, 128, 255], id="signed"),
        pytest.param([float("nan"), 0.5, 1.0], [0, 128, 255], id="holes"),
    ],
)
def test_floating_point_pictures(values: list[float], wanted: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.tiff").write_bytes(tiff(Pillow.fromarray(np.array([values], np.float32))))
    assert np.abs(read_image(tmp_path / "a.tiff", Limits(megapixels=20))[0, :, 0].astype(int) - wanted).max() <= 1


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(cv(".png", np.array([[0, 255, 256, 32768, 65535]], np.uint16)))
    assert read_image(tmp_path / "a.png", Limits(megapixels=20))[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("wh", "scale"), [((160, 96), 1), ((240, 160), 2), ((320, 240), 4), ((800, 640), 8)])
def test_very_large_jpegs_are_shrunk_while_decoding(
    wh: tuple[int, int], scale: int, orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeface.sources.image.COMFORTABLE_PIXELS", 16_000)
    stored_wh = wh if orientation == 1 else (wh[1], wh[0])
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a.jpg").write_bytes(save(Pillow.new("L", stored_wh, 90), "JPEG", exif=exif))
    picture = read_picture(tmp_path / "a.jpg", Limits(megapixels=220))
    assert (picture.scale, picture.original_wh) == (scale, wh)
    height, width = picture.image.shape[:2]
    assert (width * scale, height * scale) == wh


def test_other_large_pictures_are_shrunk_after_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.sources.image.COMFORTABLE_PIXELS", 16_000)
    (tmp_path / "a.png").write_bytes(save(Pillow.new("L", (241, 160), 90), "PNG"))
    picture = read_picture(tmp_path / "a.png", Limits())
    assert (picture.scale, picture.original_wh, picture.image.shape) == (2, (241, 160), (80, 121, 3))


def test_a_file_is_judged_by_its_size_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(3_000_000_000)
    with pytest.raises(ImageError, match="a.jpg is a file of 3000 MB, more than 500; raise limits.megabytes"):
        read_image(tmp_path / "a.jpg", Limits())


@pytest.mark.parametrize(
    ("kind", "options", "deep"),
    [
        ("PNG", {}, 6),
        ("GIF", {}, 12.5),
        ("TIFF", {}, 6),
        ("WEBP", {}, 12),
        ("JPEG", {"quality": 90}, 6),
        ("JPEG", {"progressive": True, "subsampling": 0}, 12),
        ("JPEG", {"progressive": True, "subsampling": 2}, 9),
    ],
)
def test_memory_is_known_before_decoding(kind: str, options: dict[str, Any], deep: float, tmp_path: Path) -> None:
    data = save(pil(), kind, **options)
    header = sniff(data)
    assert header is not None
    assert header.pixel_bytes + header.kept_bytes == pytest.approx(deep)
    (tmp_path / "a").write_bytes(data)
    needed = (len(data) + W * H * deep) / 1e6
    assert read_image(tmp_path / "a", Limits(megabytes=needed * 1.01)).shape == (H, W, 3)
    with pytest.raises(ImageError, match=r"has 48x32 pixels, which take 0 MB to decode, .*raise limits\.megabytes"):
        read_image(tmp_path / "a", Limits(megabytes=needed * 0.99))


@pytest.mark.parametrize(
    ("kind", "options", "deep"),
    [
        pytest.param("PNG", {}, 4, id="grey, which becomes three colours"),
        pytest.param("PNG", {"exif": stored(6)[1]}, 6, id="turned"),
        pytest.param("TIFF", {}, 6, id="decoded as colours"),
    ],
)
def test_what_is_done_after_decoding_needs_memory_too(
    kind: str, options: dict[str, Any], deep: float, tmp_path: Path
) -> None:
    data = save(Pillow.new("L", (W, H), 90), kind, **options)
    (tmp_path / "a").write_bytes(data)
    needed = (len(data) + W * H * deep) / 1e6
    assert read_image(tmp_path / "a", Limits(megabytes=needed * 1.01)).shape[2] == 3
    with pytest.raises(ImageError, match=r"which take 0 MB to decode, .*raise limits\.megabytes"):
        read_image(tmp_path / "a", Limits(megabytes=needed * 0.99))


def test_limit_is_the_configured_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(save(Pillow.new("L", (1000, 1001)), "JPEG"))
    assert read_image(tmp_path / "a.jpg", Limits(megapixels=1.01)).shape == (1001, 1000, 3)
    with pytest.raises(ImageError, match="has 1000x1001 pixels, more than 1 megapixels; raise limits.megapixels"):
        read_image(tmp_path / "a.jpg", Limits(megapixels=1.0))


@pytest.mark.parametrize(
    ("name", "data", "picture"),
    [
        ("clip.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", False),
        ("clip.jpg.mp4", b"\x1aE\xdf\xa3", False),
        ("clip.avi", b"RIFF\0\0\0\0AVI LIST", False),
        ("notes.txt", b"Program notes", False),
        ("bmw.txt", b"BMW is a car maker from Bavaria, Germany, and so on", False),
        ("broken.jpg", b"nothing", True),
        ("picture.dat", b"\xff\xd8\xff\xe0", True),
        ("gone", None, False),
    ],
)
def test_pictures_are_told_from_videos(name: str, data: bytes | None, picture: bool, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert is_image(tmp_path / name) is picture


SAMPLES = [make() for make, _ in CASES.values()]


@given(st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw), 600) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        assert read_image(path, Limits(megapixels=20)).dtype == np.uint8
    except ImageError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=400))
def test_headers_of_strangers_do_no_harm(data: bytes) -> None:
    for start in (
        b"",
        b"\xff\xd8\xff\xe1",
        b"II*\0",
        b"BM",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
        b"\0\0\0\x20ftypavif",
    ):
        sniff(start + data)
