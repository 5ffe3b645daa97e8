"""Limits that hold everywhere, stated once; nothing is imported for them."""

MAX_SIDE_PX = 4096
"""Largest image height and width."""
MIN_SNR_DB = -30.0
MAX_SNR_DB = 60.0
MAX_SEED = 2**63 - 1
"""Largest root seed and largest derived seed; the smallest is 0."""
FAMILIES = ("learned", "analog", "digital")
"""Kinds of transmission, which figures draw apart: trained, in closed form without a code, and with files and codes."""
MAX_LABEL = 60
"""Longest name of a checkpoint in figures, in characters."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest tensor of a message in either direction: symbols or pixels of a 4096x4096 image fit."""
MAX_BESIDE_BYTES = 512 * 1024
"""Largest rest of a message beside its tensor or file. The side information of a 4096x4096 image takes 66 KB."""
MAX_QUEUE_BYTES = 512 * 1024 * 1024
"""What the requests of a queue hold by default, those under way included: seven of the largest messages."""
MAX_FIELDS = 256
"""Most fields of a message, so that counting them takes about a millisecond at most."""
MAX_METADATA_BYTES = 16 * 1024
"""Largest metadata of a call, such as its token."""
MAX_CONNECTIONS = 256
"""Most connections to a service at once; further ones are closed as they come."""
MAX_STREAMS = 1024
"""Most calls under way over one connection; further ones wait at their caller."""
