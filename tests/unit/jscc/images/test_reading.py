"""Images of every kind come in as 8-bit RGB; what is not one is refused with its name and the reason."""

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from jscc import images, limits
from jscc.images import FORMATS, ImageError

ORIENTATION_TAG = 0x0112
# EXIF 2.3, table 6: where the first row and the first column of the file belong in the upright image.
UPRIGHT = {
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda stored: stored.swapaxes(0, 1)[::-1],  # left, bottom
}


def file_bytes(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def random_pixels(height_px: int, width_px: int) -> images.Pixels:
    return np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def png(width_px: int, height_px: int, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    """Write a PNG by the letter of its specification, for kinds that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width_px, height_px, bit_depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(width_px: int, bits: int, samples: bytes, photometric: int = 1, sample_format: int = 1) -> bytes:
    """Write one grey row as TIFF 6.0, for kinds that Pillow does not write."""
    tags = {
        256: width_px,
        257: 1,
        258: bits,
        259: 1,  # not compressed
        262: photometric,  # 0: white is zero, 1: black is zero
        273: 8,  # where the samples are
        277: 1,
        278: 1,
        279: len(samples),
        339: sample_format,  # 1: unsigned, 2: signed
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    padded = samples + bytes(len(samples) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_grey_is_repeated_in_three_channels() -> None:
    grey = random_pixels(5, 6)[:, :, 0]
    received = images.read_image(file_bytes(Image.fromarray(grey)))
    for channel in range(3):
        np.testing.assert_array_equal(received[:, :, channel], grey)


def test_one_bit_is_black_and_white() -> None:
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert images.read_image(file_bytes(bits))[:, :, 0].tolist() == [[0, 255], [255, 0]]


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    samples = np.array([[0, 257, 128, 129, 32896, 65535]], np.uint16)
    received = images.read_image(file_bytes(Image.fromarray(samples)))
    # 257 steps of 16 bits are one of 8 bits: 128/257 rounds to 0, 129/257 to 1.
    assert received[0, :, 1].tolist() == [0, 1, 0, 1, 128, 255]


@pytest.mark.parametrize(("maximum", "sample"), [(65535, 32896), (1023, 513)])
def test_16_bit_grey_of_a_pgm_file_is_scaled_by_its_maximum(maximum: int, sample: int) -> None:
    raw = f"P5 3 1 {maximum}\n".encode() + np.array([0, sample, maximum], ">u2").tobytes()
    assert images.read_image(raw)[0, :, 0].tolist() == [0, 128, 255]


def test_big_endian_16_bit_grey_is_scaled() -> None:
    picture = Image.frombytes("I;16B", (2, 1), np.array([32896, 65535], ">u2").tobytes())
    assert images.read_image(file_bytes(picture, "TIFF"))[0, :, 2].tolist() == [128, 255]


def test_16_bit_rgb_is_scaled_and_not_clipped() -> None:
    samples = np.array([0, 257, 65535, 32896, 514, 40092], ">u2")  # 0, 1, 255, 128, 2, 156 times 257
    received = images.read_image(png(2, 1, 16, 2, b"\0" + samples.tobytes()))
    assert received.reshape(-1).tolist() == [0, 1, 255, 128, 2, 156]


def test_float_grey_in_0_to_1_is_scaled_and_other_ranges_are_refused() -> None:
    samples = np.array([[0.0, 0.5, 1.0]], np.float32)
    received = images.read_image(file_bytes(Image.fromarray(samples), "TIFF"))
    assert received[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ImageError, match=r"image: grey samples in 0\.\.2 are outside of 0\.\.1"):
        images.read_image(file_bytes(Image.fromarray(2 * samples), "TIFF"))


def test_white_of_a_tiff_is_the_largest_sample_of_its_bits() -> None:
    packed = bytes([0x00, 0x08, 0x08, 0xFF, 0xF0])  # 0x000, 0x808, 0xFFF and four bits of padding
    assert images.read_image(tiff(3, 12, packed))[0, :, 0].tolist() == [0, 128, 255]
    signed = np.array([0, 16448, 32767], "<i2").tobytes()
    assert images.read_image(tiff(3, 16, signed, sample_format=2))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ImageError, match=r"^image: grey samples in -1\.\.0 are outside of 0\.\.32767"):
        images.read_image(tiff(2, 16, np.array([-1, 0], "<i2").tobytes(), sample_format=2))


def test_negative_of_16_bits_is_turned() -> None:
    samples = np.array([0, 32896, 65535], "<u2").tobytes()
    assert images.read_image(tiff(3, 16, samples, photometric=0))[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("sample_format", [1, 2])
@pytest.mark.parametrize("largest", [255, 65535, 2**31 - 1])
def test_32_bit_integers_have_no_known_white(largest: int, sample_format: int) -> None:
    raw = tiff(2, 32, np.array([0, largest], "<u4").tobytes(), sample_format=sample_format)
    with pytest.raises(ImageError, match=r"^image: 32-bit integers have no known white; save it with 8 or 16 bits"):
        images.read_image(raw)


def test_transparent_pixels_are_composited_over_white() -> None:
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    received = images.read_image(file_bytes(Image.fromarray(rgba)))
    # alpha 51/255 = 0.2 of black leaves 0.8 of white
    assert received[0].tolist() == [[200, 0, 0], [255, 255, 255], [204, 204, 204]]


def test_transparent_grey_is_composited_over_white() -> None:
    grey = Image.merge("LA", [Image.new("L", (2, 1), 10), Image.frombytes("L", (2, 1), b"\xff\x00")])
    assert images.read_image(file_bytes(grey))[0, :, 0].tolist() == [10, 255]


def test_palette_is_looked_up_and_its_transparent_entry_is_white() -> None:
    picture = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert images.read_image(file_bytes(picture))[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    received = images.read_image(file_bytes(picture, transparency=1))
    assert received[0].tolist() == [[10, 20, 30], [255, 255, 255], [70, 80, 90]]


def test_cmyk_becomes_rgb() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    for file_format in ("TIFF", "JPEG"):
        received = images.read_image(file_bytes(cyan, file_format))
        assert np.abs(received.astype(int) - [0, 255, 255]).max() <= 2, file_format


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(file_format: str, orientation: int) -> None:
    stored = random_pixels(3, 5)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    raw = file_bytes(Image.fromarray(stored), file_format, exif=exif, **options)
    np.testing.assert_array_equal(images.read_image(raw), UPRIGHT[orientation](stored))


def test_exif_orientation_of_a_jpeg_photograph_is_applied() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    assert images.read_image(file_bytes(Image.new("RGB", (16, 8)), "JPEG", exif=exif)).shape == (16, 8, 3)


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Write an EXIF block from (tag, type, count, four bytes of value)."""
    packed = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + packed + bytes(4)


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (b"Exif\0\0MM", 1),  # ends in its header
        (b"Exif\0\0none", 1),
        (exif_block((ORIENTATION_TAG, 3, 1, b"\0\x09\0\0")), 1),  # there is no orientation 9
        (exif_block((ORIENTATION_TAG, 2, 2, b"6\0\0\0")), 1),  # text instead of a number
        # a tag of the wrong type beside a sound orientation
        (exif_block((ORIENTATION_TAG, 3, 1, b"\0\x06\0\0"), (0x0119, 2, 4, b"odd\0")), 6),
    ],
)
def test_odd_exif_data_do_not_cost_the_photograph(exif: bytes, orientation: int) -> None:
    stored = random_pixels(3, 5)
    raw = file_bytes(Image.fromarray(stored), exif=exif)
    np.testing.assert_array_equal(images.read_image(raw), UPRIGHT[orientation](stored))


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(file_format: str) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if file_format == "WEBP" else {}
    raw = file_bytes(first, file_format, save_all=True, append_images=[second], **options)
    assert (images.read_image(raw) == [255, 0, 0]).all()


@pytest.mark.parametrize("size_px", [(4097, 1), (1, 4097), (5000, 3000)])
def test_larger_images_are_refused_with_their_size(size_px: tuple[int, int], tmp_path: Path) -> None:
    raw = file_bytes(Image.new("1", size_px))
    text = rf"{size_px[0]}x{size_px[1]} px is larger than {limits.MAX_SIDE_PX} px"
    with pytest.raises(ImageError, match=f"^image: {text}"):
        images.read_image(raw)
    (tmp_path / "large.png").write_bytes(raw)
    with pytest.raises(ImageError, match=rf"^image .*large\.png: {text}"):
        images.read_image(tmp_path / "large.png")


@pytest.mark.parametrize("side_px", [9500, 30000])
def test_image_bomb_is_refused_before_its_pixels_are_decoded(
    side_px: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9500 px is where Pillow warns, 30000 px where it raises; neither may reach the caller."""

    def decode(self: ImageFile.ImageFile) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    (tmp_path / "bomb.png").write_bytes(png(side_px, side_px, 8, 2, b""))
    with pytest.raises(ImageError, match=rf"larger than {limits.MAX_SIDE_PX} px on a side"):
        images.read_image(tmp_path / "bomb.png")


def test_threads_do_not_spoil_the_warning_filters() -> None:
    pixels = random_pixels(64, 64)
    raw = file_bytes(Image.fromarray(pixels), exif=exif_block((ORIENTATION_TAG, 2, 9, bytes(4))))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for received in pool.map(images.read_image, [raw] * 200):
            np.testing.assert_array_equal(received, pixels)
    assert list(warnings.filters) == before


@pytest.mark.parametrize("file_format", FORMATS)
def test_truncated_file_is_refused(file_format: str) -> None:
    raw = file_bytes(Image.fromarray(random_pixels(64, 64)), file_format)
    assert images.read_image(raw).shape == (64, 64, 3)
    for size_bytes in (len(raw) // 2, 12, 1):
        with pytest.raises(ImageError, match=r"^image: (damaged or truncated|not an image)"):
            images.read_image(raw[:size_bytes])


def test_damaged_file_is_refused() -> None:
    raw = bytearray(images.encode_png(random_pixels(64, 64)))
    raw[1000:1400] = bytes(400)
    with pytest.raises(ImageError, match="damaged or truncated"):
        images.read_image(bytes(raw))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "PPM", "PCX", "TGA"])
def test_lossless_formats_are_read_bit_for_bit(file_format: str) -> None:
    pixels = random_pixels(9, 14)
    np.testing.assert_array_equal(images.read_image(file_bytes(Image.fromarray(pixels), file_format)), pixels)


def test_every_suffix_of_a_folder_is_one_of_a_format_that_is_read(tmp_path: Path) -> None:
    known = {suffix: name for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    assert known.items() >= {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}.items()
    assert {".tga", ".pcx", ".png", ".jpg"} < images.SUFFIXES
    (tmp_path / "x.ico").write_bytes(file_bytes(Image.new("RGB", (16, 16)), "ICO"))
    with pytest.raises(ImageError, match=r"x\.ico: not an image in a known format \(PNG, JPEG, .*TGA\)"):
        images.read_image(tmp_path / "x.ico")


@pytest.mark.parametrize("compressed", [False, True])
def test_long_text_does_not_cost_the_picture(compressed: bool) -> None:
    pixels = random_pixels(8, 8)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "5 MB of it " * 500_000, zip=compressed)
    usual = PngImagePlugin.MAX_TEXT_CHUNK
    np.testing.assert_array_equal(images.read_image(file_bytes(Image.fromarray(pixels), pnginfo=text)), pixels)
    assert usual == PngImagePlugin.MAX_TEXT_CHUNK


def test_text_bomb_is_refused_as_what_it_is() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * (65 << 20), zip=True)  # 65 KB in the file
    with pytest.raises(ImageError, match=r"^image: more than 64 MiB of text in it; save it without$"):
        images.read_image(file_bytes(Image.new("RGB", (8, 8)), pnginfo=text))


def test_file_that_runs_a_program_is_not_an_image() -> None:
    with pytest.raises(ImageError, match="not an image in a known format"):
        images.read_image(file_bytes(Image.new("RGB", (4, 4)), "EPS"))


@pytest.mark.parametrize("raw", [b"", b"hello", bytes(1000), b"\x89PNG\r\n\x1a\n"])
def test_what_is_not_an_image_is_refused(raw: bytes) -> None:
    with pytest.raises(ImageError, match=r"^image: not an image in a known format \(PNG, JPEG"):
        images.read_image(raw)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image .*gone\.png: cannot be read \(No such file"):
        images.read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"cannot be read \(Is a directory"):
        images.read_image(tmp_path)


def test_pipe_and_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes into it
    (tmp_path / "link.png").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.png", tmp_path / "link.png", Path("/dev/null")):
        with pytest.raises(ImageError, match=rf"^image {path}: a pipe or a device, not a regular file; save"):
            images.read_image(path)
