from jscc.wire.v1 import symbols_pb2 as _symbols_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecodeRequest(_message.Message):
    __slots__ = ("context", "side", "state", "options", "symbols")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _symbols_pb2.OptionValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_symbols_pb2.OptionValue, _Mapping]] = ...) -> None: ...
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    context: _symbols_pb2.RequestContext
    side: _symbols_pb2.SideInformation
    state: _symbols_pb2.ChannelState
    options: _containers.MessageMap[str, _symbols_pb2.OptionValue]
    symbols: _symbols_pb2.Tensor
    def __init__(self, context: _Optional[_Union[_symbols_pb2.RequestContext, _Mapping]] = ..., side: _Optional[_Union[_symbols_pb2.SideInformation, _Mapping]] = ..., state: _Optional[_Union[_symbols_pb2.ChannelState, _Mapping]] = ..., options: _Optional[_Mapping[str, _symbols_pb2.OptionValue]] = ..., symbols: _Optional[_Union[_symbols_pb2.Tensor, _Mapping]] = ...) -> None: ...

class DecodeResponse(_message.Message):
    __slots__ = ("checkpoint_digest", "options", "image", "timing")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _symbols_pb2.OptionValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_symbols_pb2.OptionValue, _Mapping]] = ...) -> None: ...
    CHECKPOINT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    checkpoint_digest: str
    options: _containers.MessageMap[str, _symbols_pb2.OptionValue]
    image: _symbols_pb2.Tensor
    timing: _symbols_pb2.HopTiming
    def __init__(self, checkpoint_digest: _Optional[str] = ..., options: _Optional[_Mapping[str, _symbols_pb2.OptionValue]] = ..., image: _Optional[_Union[_symbols_pb2.Tensor, _Mapping]] = ..., timing: _Optional[_Union[_symbols_pb2.HopTiming, _Mapping]] = ...) -> None: ...

class DescribeDecoderRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeDecoderResponse(_message.Message):
    __slots__ = ("description",)
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    description: _symbols_pb2.ServiceDescription
    def __init__(self, description: _Optional[_Union[_symbols_pb2.ServiceDescription, _Mapping]] = ...) -> None: ...
