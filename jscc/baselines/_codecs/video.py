"""Video codecs used for one picture: HEVC intra, which is what BPG is made of, and VVC intra.

The ffmpeg of the package imageio-ffmpeg (extra `codecs`) runs as a process that gets planes and gives a bitstream, or
the other way round. The planes are made here, so that no rounding in a converter costs anything: YCbCr as in JPEG, full
range, with 10 bits. The bitstream tells none of this, nor need it: both ends know it.

Source: ITU-T T.871 (the YCbCr of JPEG), H.265 and H.266; the encoders are x265 and VVenC.
"""

import importlib.util
import math
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from jscc.images import ImageError, Pixels

EXTRA = "pip install 'jscc-link[codecs]'"
_MODULE = "imageio_ffmpeg"
_RED, _BLUE = 0.299, 0.114  # their shares of the luma
_GREEN = 1 - _RED - _BLUE
_LARGEST, _MIDDLE = 1023, 512  # samples of 10 bits
_GRID_PX, _LEAST_PX = 8, 16  # the smallest blocks and sides that both encoders take
_SECONDS, _SECONDS_PER_PIXEL = 600.0, 3e-3  # half an hour for 768x512 px; a machine that was busy took 3 min of it
_WEIGHTS, _X265_QPS = "weights.txt", 70
_WHO_SAYS = re.compile(r"\[[^]]+ @ 0x[0-9a-f]+\] ?")

FloatArray = npt.NDArray[np.float64]


class QualityStep(NamedTuple):
    """How coarsely is quantised.

    Attributes:
        qp: of the luma.
        weight: of the bits beside the error, relative to the encoder's own, where it decides between the two.
    """

    qp: int
    weight: float


class Call(NamedTuple):
    """How ffmpeg is called: arguments, and the text of files that they name."""

    arguments: Sequence[str]
    files: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Video:
    """A video codec of ffmpeg and how it is used.

    Attributes:
        stream: ffmpeg's name of the bitstream.
        halves_chroma: whether the colours are sent at half the resolution (4:2:0).
        steps: the qualities, worst first. A step of the QP is some 10 % of the size; the weight divides it.
        encoder: how the encoder is called at a step.
    """

    stream: str
    halves_chroma: bool
    steps: Sequence[QualityStep]
    encoder: Callable[[QualityStep], Call]

    @property
    def qualities(self) -> range:
        """One for each of the steps."""
        return range(len(self.steps))

    @property
    def ways(self) -> range:
        """One."""
        return range(1)

    def lack(self) -> str:
        """Say whether ffmpeg is missing."""
        return "" if importlib.util.find_spec(_MODULE) else f"imageio-ffmpeg is not installed: {EXTRA}"

    def encode(self, pixels: Pixels, quality: int, way: int) -> bytes:
        """Return the bitstream of an image [H, W, 3] uint8.

        Raises:
            RuntimeError: ffmpeg failed; says why.
            TimeoutError: it took too long.
        """
        added = [(0, _padded(side) - side) for side in pixels.shape[:2]]
        padded = np.pad(pixels, (*added, (0, 0)), mode="edge")
        size = f"{padded.shape[1]}x{padded.shape[0]}"
        source = (*self._planes_as(), "-s", size, "-i", "pipe:0", "-frames:v", "1")
        coded = self.encoder(self.steps[quality])
        arguments = (*source, *coded.arguments, "-threads", "1", "-f", self.stream, "pipe:1")
        return _run(Call(arguments, coded.files), _to_planes(padded, self.halves_chroma), padded.size // 3)

    def decode(self, file: bytes, height_px: int, width_px: int) -> Pixels:
        """Return the image of a bitstream, [H, W, 3] uint8.

        HEVC's decoder does not notice every damage: what a channel may damage needs a checksum.

        Raises:
            ImageError: a damaged or truncated bitstream, or one of another size.
            TimeoutError: ffmpeg took too long.
        """
        padded = (_padded(height_px), _padded(width_px))
        source = ("-threads", "1", "-xerror", "-err_detect", "explode", "-f", self.stream, "-i", "pipe:0")
        try:
            raw = _run(Call((*source, *self._planes_as(), "pipe:1")), file, padded[0] * padded[1])
        except RuntimeError as error:
            raise ImageError(f"image: damaged or truncated ({error})") from error
        samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<u2").astype(np.float64)
        expected = padded[0] * padded[1] * 3 // (2 if self.halves_chroma else 1)
        if samples.size != expected:
            raise ImageError(f"image: the file holds {samples.size} samples, expected {width_px}x{height_px} px")
        return _to_pixels(samples, padded, self.halves_chroma)[:height_px, :width_px].copy()

    def _planes_as(self) -> tuple[str, ...]:
        return ("-f", "rawvideo", "-pix_fmt", "yuv420p10le" if self.halves_chroma else "yuv444p10le")


def _padded(side_px: int) -> int:
    return max(_LEAST_PX, side_px + -side_px % _GRID_PX)


def _x265(step: QualityStep) -> Call:
    """The slower preset for PSNR: no tuning for the eye, no comment, and no starts of rows for other threads.

    The weights are the encoder's own tables times a factor: 2^((qp - 12) / 6) for absolute and 0.038 e^(0.234 qp) for
    squared errors, 4 and 16 times as large with 10 bits.
    """
    tuned = "psy-rd=0:psy-rdoq=0:aq-mode=0:cutree=0:keyint=1:ipratio=1:hash=0:info=0:wpp=0:pools=none:frame-threads=1"
    absolute = [4 * math.sqrt(step.weight) * 2 ** ((qp - 12) / 6) for qp in range(_X265_QPS)]
    squared = [16 * step.weight * 0.038 * math.exp(0.234 * qp) for qp in range(_X265_QPS)]
    table = "\n".join(",".join(f"{weight:.6f}" for weight in weights) for weights in (absolute, squared))
    chosen = f"qp={step.qp}:lambda-file={_WEIGHTS}:log-level=error"
    coded = ("-c:v", "libx265", "-preset", "slower", "-x265-params", f"{tuned}:{chosen}")
    return Call(coded, {_WEIGHTS: table})


def _vvenc(step: QualityStep) -> Call:
    """The fast preset for PSNR: no tuning for the eye, and the shortest headers.

    The picture is the first of a group of 16, whose rates and tools are 4 % better than those of a picture alone, and
    whose header is 30 bytes shorter than that of the usual group of 32. The chroma gets a finer QP: 6 less are 0.2 to
    0.5 dB better in RGB (four photographs of `jscc.data`), as half the resolution leaves few samples to spend bits on.
    """
    short = "accessunitdelimiter=0:hrdparameterspresent=0:vuiparameterspresent=0:gopsize=16:intraperiod=16"
    tuned = f"cbqpoffset=-6:crqpoffset=-6:lambdamodifieri={step.weight}:decodedpicturehash=0:verbosity=0"
    coded = ("-c:v", "libvvenc", "-preset", "fast", "-qp", str(step.qp), "-qpa", "0", "-vvenc-params")
    return Call((*coded, f"{short}:{tuned}"))


def _steps(qps: range, weights: Sequence[float]) -> tuple[QualityStep, ...]:
    return tuple(QualityStep(qp, weight) for qp in qps for weight in weights)


# Four weights are about a step of the QP in size, and on its curve of PSNR over size.
HEVC = Video("hevc", False, _steps(range(51, 1, -1), (1.1, 1.0, 0.9, 0.82)), _x265)
VVC = Video("vvc", True, _steps(range(63, 3, -1), (1.15, 1.05, 0.95, 0.87)), _vvenc)


def _run(call: Call, data: bytes, pixels: int) -> bytes:
    """Run ffmpeg with bytes as its standard input in a folder with its files, and return its standard output.

    Raises:
        RuntimeError: it fails; says why.
        TimeoutError: it takes too long.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    command = (get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", *call.arguments)
    timeout_s = _SECONDS + _SECONDS_PER_PIXEL * pixels
    with TemporaryDirectory(prefix="jscc-codec-") as folder:
        for name, text in call.files.items():
            Path(folder, name).write_text(text)
        try:
            done = subprocess.run(command, input=data, cwd=folder, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"ffmpeg: not done within {timeout_s:.0f} s") from error
    if done.returncode:
        said = _WHO_SAYS.sub("", done.stderr.decode(errors="replace")).strip().splitlines()
        raise RuntimeError(f"ffmpeg: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout


def _to_planes(pixels: Pixels, halves_chroma: bool) -> bytes:
    """Return luma and both chroma planes of [H, W, 3] pixels as little-endian words."""
    red, green, blue = (pixels[..., at].astype(np.float64) for at in range(3))
    luma = _RED * red + _GREEN * green + _BLUE * blue
    chroma = [(blue - luma) / (2 * (1 - _BLUE)), (red - luma) / (2 * (1 - _RED))]
    if halves_chroma:
        height_px, width_px = luma.shape
        chroma = [_resize(plane, height_px // 2, width_px // 2) for plane in chroma]
    scale = _LARGEST / 255
    planes = [luma * scale, *(plane * scale + _MIDDLE for plane in chroma)]
    return b"".join(np.rint(plane).clip(0, _LARGEST).astype("<u2").tobytes() for plane in planes)


def _to_pixels(samples: FloatArray, size_px: tuple[int, int], halves_chroma: bool) -> Pixels:
    """Return the pixels [H, W, 3] of what `_to_planes` made."""
    scale, count = _LARGEST / 255, size_px[0] * size_px[1]
    luma = samples[:count].reshape(size_px) / scale
    blue_less, red_less = (samples[count:].reshape(2, -1) - _MIDDLE) / scale
    if halves_chroma:
        half = (size_px[0] // 2, size_px[1] // 2)
        blue_less, red_less = (_resize(plane.reshape(half), *size_px) for plane in (blue_less, red_less))
    red = luma + 2 * (1 - _RED) * red_less.reshape(size_px)
    blue = luma + 2 * (1 - _BLUE) * blue_less.reshape(size_px)
    green = (luma - _RED * red - _BLUE * blue) / _GREEN
    pixels: Pixels = np.rint(np.stack([red, green, blue], axis=2)).clip(0, 255).astype(np.uint8)
    return pixels


def _resize(plane: FloatArray, height_px: int, width_px: int) -> FloatArray:
    image = Image.fromarray(plane.astype(np.float32), mode="F")
    return np.asarray(image.resize((width_px, height_px), Image.Resampling.LANCZOS), np.float64)
