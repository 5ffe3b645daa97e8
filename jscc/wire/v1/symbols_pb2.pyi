from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ELEMENT_TYPE_UNSPECIFIED: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT8: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT16: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT32: _ClassVar[ElementType]
ELEMENT_TYPE_UNSPECIFIED: ElementType
ELEMENT_TYPE_UINT8: ElementType
ELEMENT_TYPE_FLOAT16: ElementType
ELEMENT_TYPE_FLOAT32: ElementType

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: ElementType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[_Union[ElementType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class RequestContext(_message.Message):
    __slots__ = ("request_id", "method", "checkpoint_digest", "seed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    method: str
    checkpoint_digest: str
    seed: int
    def __init__(self, request_id: _Optional[str] = ..., method: _Optional[str] = ..., checkpoint_digest: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class OptionValue(_message.Message):
    __slots__ = ("int_value", "double_value", "bool_value", "string_value")
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    int_value: int
    double_value: float
    bool_value: bool
    string_value: str
    def __init__(self, int_value: _Optional[int] = ..., double_value: _Optional[float] = ..., bool_value: _Optional[bool] = ..., string_value: _Optional[str] = ...) -> None: ...

class SideInformation(_message.Message):
    __slots__ = ("height_px", "width_px", "codes", "code_bits")
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    CODE_BITS_FIELD_NUMBER: _ClassVar[int]
    height_px: int
    width_px: int
    codes: _containers.RepeatedScalarFieldContainer[int]
    code_bits: int
    def __init__(self, height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., codes: _Optional[_Iterable[int]] = ..., code_bits: _Optional[int] = ...) -> None: ...

class Awgn(_message.Message):
    __slots__ = ("snr_db",)
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    snr_db: float
    def __init__(self, snr_db: _Optional[float] = ...) -> None: ...

class Noiseless(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChannelState(_message.Message):
    __slots__ = ("noise_power",)
    NOISE_POWER_FIELD_NUMBER: _ClassVar[int]
    noise_power: float
    def __init__(self, noise_power: _Optional[float] = ...) -> None: ...

class HopTiming(_message.Message):
    __slots__ = ("queue_ns", "deserialize_ns", "compute_ns", "serialize_ns", "bytes_in", "bytes_out")
    QUEUE_NS_FIELD_NUMBER: _ClassVar[int]
    DESERIALIZE_NS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    SERIALIZE_NS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    queue_ns: int
    deserialize_ns: int
    compute_ns: int
    serialize_ns: int
    bytes_in: int
    bytes_out: int
    def __init__(self, queue_ns: _Optional[int] = ..., deserialize_ns: _Optional[int] = ..., compute_ns: _Optional[int] = ..., serialize_ns: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ...) -> None: ...

class ServedMethod(_message.Message):
    __slots__ = ("name", "checkpoint", "checkpoint_digest", "transmitter_digest", "rho", "parameters", "config_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRANSMITTER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RHO_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    checkpoint: str
    checkpoint_digest: str
    transmitter_digest: str
    rho: float
    parameters: int
    config_json: str
    def __init__(self, name: _Optional[str] = ..., checkpoint: _Optional[str] = ..., checkpoint_digest: _Optional[str] = ..., transmitter_digest: _Optional[str] = ..., rho: _Optional[float] = ..., parameters: _Optional[int] = ..., config_json: _Optional[str] = ...) -> None: ...

class ServiceDescription(_message.Message):
    __slots__ = ("service", "version", "methods", "channels", "device", "precision", "max_message_bytes", "max_side_px", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    service: str
    version: str
    methods: _containers.RepeatedCompositeFieldContainer[ServedMethod]
    channels: _containers.RepeatedScalarFieldContainer[str]
    device: str
    precision: str
    max_message_bytes: int
    max_side_px: int
    settings: _containers.ScalarMap[str, str]
    def __init__(self, service: _Optional[str] = ..., version: _Optional[str] = ..., methods: _Optional[_Iterable[_Union[ServedMethod, _Mapping]]] = ..., channels: _Optional[_Iterable[str]] = ..., device: _Optional[str] = ..., precision: _Optional[str] = ..., max_message_bytes: _Optional[int] = ..., max_side_px: _Optional[int] = ..., settings: _Optional[_Mapping[str, str]] = ...) -> None: ...
