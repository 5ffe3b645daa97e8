"""Digital transmission to compare with: image codecs with codes that reach capacity, and rate-distortion references."""
