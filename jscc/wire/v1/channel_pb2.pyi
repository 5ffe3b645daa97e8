from jscc.wire.v1 import symbols_pb2 as _symbols_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransmitRequest(_message.Message):
    __slots__ = ("context", "awgn", "noiseless", "symbols")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    AWGN_FIELD_NUMBER: _ClassVar[int]
    NOISELESS_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    context: _symbols_pb2.RequestContext
    awgn: _symbols_pb2.Awgn
    noiseless: _symbols_pb2.Noiseless
    symbols: _symbols_pb2.Tensor
    def __init__(self, context: _Optional[_Union[_symbols_pb2.RequestContext, _Mapping]] = ..., awgn: _Optional[_Union[_symbols_pb2.Awgn, _Mapping]] = ..., noiseless: _Optional[_Union[_symbols_pb2.Noiseless, _Mapping]] = ..., symbols: _Optional[_Union[_symbols_pb2.Tensor, _Mapping]] = ...) -> None: ...

class TransmitResponse(_message.Message):
    __slots__ = ("awgn", "noiseless", "state", "noise_digest", "signal_power", "noise_power", "channel_uses", "symbols", "timing")
    AWGN_FIELD_NUMBER: _ClassVar[int]
    NOISELESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOISE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_POWER_FIELD_NUMBER: _ClassVar[int]
    NOISE_POWER_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_USES_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    awgn: _symbols_pb2.Awgn
    noiseless: _symbols_pb2.Noiseless
    state: _symbols_pb2.ChannelState
    noise_digest: str
    signal_power: float
    noise_power: float
    channel_uses: int
    symbols: _symbols_pb2.Tensor
    timing: _symbols_pb2.HopTiming
    def __init__(self, awgn: _Optional[_Union[_symbols_pb2.Awgn, _Mapping]] = ..., noiseless: _Optional[_Union[_symbols_pb2.Noiseless, _Mapping]] = ..., state: _Optional[_Union[_symbols_pb2.ChannelState, _Mapping]] = ..., noise_digest: _Optional[str] = ..., signal_power: _Optional[float] = ..., noise_power: _Optional[float] = ..., channel_uses: _Optional[int] = ..., symbols: _Optional[_Union[_symbols_pb2.Tensor, _Mapping]] = ..., timing: _Optional[_Union[_symbols_pb2.HopTiming, _Mapping]] = ...) -> None: ...

class DescribeChannelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeChannelResponse(_message.Message):
    __slots__ = ("description",)
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    description: _symbols_pb2.ServiceDescription
    def __init__(self, description: _Optional[_Union[_symbols_pb2.ServiceDescription, _Mapping]] = ...) -> None: ...
