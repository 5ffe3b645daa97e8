"""Limits that hold everywhere, stated once; nothing is imported for them."""

MAX_SIDE_PX = 4096
"""Largest image height and width. Both travel in SIZE_BITS bits each."""
SIZE_BITS = 12
MIN_SNR_DB = -30.0
MAX_SNR_DB = 60.0
MAX_SEED = 2**63 - 1
"""Largest root seed and largest derived seed; the smallest is 0."""
FAMILIES = ("learned", "analog", "digital")
"""Kinds of transmission, which figures draw apart: trained, in closed form without a code, and with files and codes."""
MAX_LABEL = 60
"""Longest name of a checkpoint in figures, in characters."""
