"""The wire: the only place that knows gRPC. Imports no torch, so that health probes start fast."""

import os

# gRPC's core reads this when it is first imported. What it would print to stderr, callers get as a status anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
