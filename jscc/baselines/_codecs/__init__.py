"""The image codecs of the digital baselines, one kind per file; `jscc.baselines.codecs` has them by name."""

NAMES = (
    "avif",
    "jpeg",
    "webp",
    "hevc",
    "vvc",
    "avif_half",
    "jpeg_half",
    "webp_half",
    "avif_420",
    "jpeg_420",
)
"""Names of the codecs, known here without Pillow. A link tells codecs by their places: add at the end."""
