"""The wire: the only place that knows gRPC. Imports no torch, so that health probes start fast."""
