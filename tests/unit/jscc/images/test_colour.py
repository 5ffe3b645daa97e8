"""Photographs with a colour profile come in as sRGB; the expected colours follow from the primaries."""

import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from jscc import images

Doubles = npt.NDArray[np.float64]

D65 = (0.3127, 0.3290)
D50_XYZ = np.array([0.9642, 1.0, 0.8249])  # of the profile connection space, ICC.1:2001-04
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # IEC 61966-2-1
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # Adobe RGB (1998), 4.3.1
ADOBE_GAMMA = 563 / 256
WIDE_GAMUT = ((0.7347, 0.2653), (0.1152, 0.8264), (0.1566, 0.0177))  # Adobe Wide Gamut, here with the white D65
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
COLOURS = np.array([[128, 128, 128], [100, 180, 100], [180, 120, 90], [60, 90, 150], [0, 0, 0], [255, 255, 255]])


def xyz(chromaticity: tuple[float, float]) -> Doubles:
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


def to_xyz(primaries: tuple[tuple[float, float], ...]) -> Doubles:
    """Return the matrix from linear RGB to XYZ, both with the white D65."""
    columns = np.stack([xyz(primary) for primary in primaries], axis=1)
    return columns * np.linalg.solve(columns, xyz(D65))


def to_d50(matrix: Doubles) -> Doubles:
    """Adapt a matrix to XYZ from D65 to D50 (ICC.1:2001-04, annex E)."""
    gains = (BRADFORD @ D50_XYZ) / (BRADFORD @ xyz(D65))
    return np.linalg.solve(BRADFORD, gains[:, None] * (BRADFORD @ matrix))


def srgb_levels(linear: Doubles) -> Doubles:
    """Return levels 0..255 of linear values (IEC 61966-2-1)."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def in_srgb(levels: Doubles, primaries: tuple[tuple[float, float], ...], gamma: float) -> Doubles:
    linear = (levels / 255) ** gamma
    return srgb_levels(linear @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)).T)


def profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    """Write a display profile by the letter of ICC.1:2001-04."""
    table, body = b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size_bytes = 132 + len(table) + len(body)
    header = struct.pack(">I4xI4s4s4s12x4s28x", size_bytes, 0x02400000, b"mntr", space, pcs, b"acsp")
    return (header + fixed(D50_XYZ)).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def fixed(values: Doubles) -> bytes:
    return np.rint(values * 65536).astype(">i4").tobytes()


def colour_tag(values: Doubles) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(values)


def gamma_tag(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: tuple[tuple[float, float], ...], gamma: float) -> bytes:
    columns = to_d50(to_xyz(primaries)).T
    tags = {name: colour_tag(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    curves = {name: gamma_tag(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return profile(b"RGB ", {b"wtpt": colour_tag(D50_XYZ), **tags, **curves})


def file_bytes(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def patches(colours: npt.NDArray[np.int64]) -> Image.Image:
    """Return a picture with a patch of 16x16 px of each colour."""
    return Image.fromarray(colours.astype(np.uint8)[None].repeat(16, axis=0).repeat(16, axis=1))


@pytest.mark.parametrize("primaries", [ADOBE_RGB, WIDE_GAMUT])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_wide_gamut_is_converted_to_srgb(file_format: str, primaries: tuple[tuple[float, float], ...]) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(file_format, {})
    raw = file_bytes(patches(COLOURS), file_format, icc_profile=rgb_profile(primaries, ADOBE_GAMMA), **options)
    expected = in_srgb(COLOURS, primaries, ADOBE_GAMMA)
    assert np.abs(expected - COLOURS).max() > 20
    received = images.read_image(raw)[8, 8::16]
    assert np.abs(received - expected).max() <= (3 if file_format == "JPEG" else 1)


def test_colours_are_converted_before_they_are_composited() -> None:
    colour = np.array([[100, 180, 100]])
    picture = patches(colour)
    picture.putalpha(51)
    raw = file_bytes(picture, icc_profile=rgb_profile(ADOBE_RGB, ADOBE_GAMMA))
    expected = 0.2 * in_srgb(colour, ADOBE_RGB, ADOBE_GAMMA) + 0.8 * 255
    assert np.abs(images.read_image(raw)[0, 0] - expected).max() <= 1.2


def test_palette_is_converted() -> None:
    picture = patches(COLOURS).quantize(len(COLOURS))
    raw = file_bytes(picture, icc_profile=rgb_profile(ADOBE_RGB, ADOBE_GAMMA))
    received = images.read_image(raw)[8, 8::16]
    assert np.abs(received - in_srgb(COLOURS, ADOBE_RGB, ADOBE_GAMMA)).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_converted_by_its_curve(dtype: type[np.unsignedinteger]) -> None:
    grey = np.arange(0, 256, 5)
    samples = (grey * (np.iinfo(dtype).max // 255)).astype(dtype)[None]
    tags = {b"wtpt": colour_tag(D50_XYZ), b"kTRC": gamma_tag(1.0)}
    raw = file_bytes(Image.fromarray(samples), icc_profile=profile(b"GRAY", tags))
    expected = srgb_levels(grey / 255)
    received = images.read_image(raw)[0]
    assert np.abs(received - expected[:, None]).max() <= 1
    assert (received == received[:, :1]).all()


def test_cmyk_is_converted_by_its_table() -> None:
    # An ink that is never seen, and a black whose L* falls in proportion: lut8Type, two points in each direction.
    blacks = np.tile([[255, 128, 128], [0, 128, 128]], (8, 1)).astype(np.uint8)  # L*, a*, b* of CMYK 0000, 0001, ...
    ramp = bytes(range(256))
    matrix = fixed(np.eye(3).reshape(-1))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + 4 * ramp + blacks.tobytes() + 3 * ramp
    cmyk = profile(b"CMYK", {b"wtpt": colour_tag(D50_XYZ), b"A2B0": table}, pcs=b"Lab ")
    inks = np.array([[255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 51], [200, 100, 0, 128], [0, 0, 0, 255]], np.uint8)
    picture = Image.frombytes("CMYK", (len(inks), 1), inks.tobytes())
    lightness = 100 * (1 - inks[:, 3] / 255)
    expected = srgb_levels(np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (3 / 29) ** 3))
    received = images.read_image(file_bytes(picture, "TIFF", icc_profile=cmyk))[0]
    assert np.abs(received - expected[:, None]).max() <= 2


def test_lab_is_converted() -> None:
    # CIE 15:2004, 8.2.1; a and b lie 128 above their values in a byte of Pillow's
    relative = COLOURS / 255
    linear = np.where(relative <= 0.04045, relative / 12.92, ((relative + 0.055) / 1.055) ** 2.4)
    ratios = linear @ to_d50(to_xyz(SRGB)).T / D50_XYZ
    x, y, z = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios * (29 / 6) ** 2 / 3 + 4 / 29).T
    lab = np.rint(np.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], axis=1))
    picture = Image.merge("LAB", patches(lab.astype(np.int64)).split())
    received = images.read_image(file_bytes(picture, "TIFF"))[8, 8::16]
    assert np.abs(received - COLOURS).max() <= 4  # half a step of a is about that of the level of a channel


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_srgb_profile_changes_nothing(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(images.read_image(file_bytes(picture, icc_profile=srgb)), picture.convert("RGB"))


@pytest.mark.parametrize(
    "broken",
    [
        b"no profile",
        rgb_profile(ADOBE_RGB, ADOBE_GAMMA)[:200],
        profile(b"RGB ", {}),
        profile(b"GRAY", {b"kTRC": gamma_tag(1.0)}),  # for another kind of picture
    ],
)
def test_broken_profile_is_ignored(broken: bytes) -> None:
    raw = file_bytes(patches(COLOURS), icc_profile=broken)
    np.testing.assert_array_equal(images.read_image(raw)[8, 8::16], COLOURS)


def test_cmyk_with_a_broken_profile_is_read_as_without() -> None:
    picture = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    np.testing.assert_array_equal(
        images.read_image(file_bytes(picture, "TIFF", icc_profile=b"no profile")),
        images.read_image(file_bytes(picture, "TIFF")),
    )
