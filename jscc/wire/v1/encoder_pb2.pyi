from jscc.wire.v1 import symbols_pb2 as _symbols_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EncodeRequest(_message.Message):
    __slots__ = ("context", "snr_db", "options", "image")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _symbols_pb2.OptionValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_symbols_pb2.OptionValue, _Mapping]] = ...) -> None: ...
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    context: _symbols_pb2.RequestContext
    snr_db: float
    options: _containers.MessageMap[str, _symbols_pb2.OptionValue]
    image: _symbols_pb2.Tensor
    def __init__(self, context: _Optional[_Union[_symbols_pb2.RequestContext, _Mapping]] = ..., snr_db: _Optional[float] = ..., options: _Optional[_Mapping[str, _symbols_pb2.OptionValue]] = ..., image: _Optional[_Union[_symbols_pb2.Tensor, _Mapping]] = ...) -> None: ...

class EncodeResponse(_message.Message):
    __slots__ = ("checkpoint_digest", "side", "header_bits", "symbols", "timing")
    CHECKPOINT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    HEADER_BITS_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    checkpoint_digest: str
    side: _symbols_pb2.SideInformation
    header_bits: int
    symbols: _symbols_pb2.Tensor
    timing: _symbols_pb2.HopTiming
    def __init__(self, checkpoint_digest: _Optional[str] = ..., side: _Optional[_Union[_symbols_pb2.SideInformation, _Mapping]] = ..., header_bits: _Optional[int] = ..., symbols: _Optional[_Union[_symbols_pb2.Tensor, _Mapping]] = ..., timing: _Optional[_Union[_symbols_pb2.HopTiming, _Mapping]] = ...) -> None: ...

class DescribeEncoderRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeEncoderResponse(_message.Message):
    __slots__ = ("description",)
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    description: _symbols_pb2.ServiceDescription
    def __init__(self, description: _Optional[_Union[_symbols_pb2.ServiceDescription, _Mapping]] = ...) -> None: ...
