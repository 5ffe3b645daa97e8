from jscc.wire.v1 import symbols_pb2 as _symbols_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendImageRequest(_message.Message):
    __slots__ = ("method", "awgn", "noiseless", "options", "seed", "draw", "image_id", "image_file")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _symbols_pb2.OptionValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_symbols_pb2.OptionValue, _Mapping]] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    AWGN_FIELD_NUMBER: _ClassVar[int]
    NOISELESS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DRAW_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FILE_FIELD_NUMBER: _ClassVar[int]
    method: str
    awgn: _symbols_pb2.Awgn
    noiseless: _symbols_pb2.Noiseless
    options: _containers.MessageMap[str, _symbols_pb2.OptionValue]
    seed: int
    draw: int
    image_id: str
    image_file: bytes
    def __init__(self, method: _Optional[str] = ..., awgn: _Optional[_Union[_symbols_pb2.Awgn, _Mapping]] = ..., noiseless: _Optional[_Union[_symbols_pb2.Noiseless, _Mapping]] = ..., options: _Optional[_Mapping[str, _symbols_pb2.OptionValue]] = ..., seed: _Optional[int] = ..., draw: _Optional[int] = ..., image_id: _Optional[str] = ..., image_file: _Optional[bytes] = ...) -> None: ...

class Quality(_message.Message):
    __slots__ = ("psnr_db", "ssim", "ms_ssim", "lpips")
    PSNR_DB_FIELD_NUMBER: _ClassVar[int]
    SSIM_FIELD_NUMBER: _ClassVar[int]
    MS_SSIM_FIELD_NUMBER: _ClassVar[int]
    LPIPS_FIELD_NUMBER: _ClassVar[int]
    psnr_db: float
    ssim: float
    ms_ssim: float
    lpips: float
    def __init__(self, psnr_db: _Optional[float] = ..., ssim: _Optional[float] = ..., ms_ssim: _Optional[float] = ..., lpips: _Optional[float] = ...) -> None: ...

class HopReport(_message.Message):
    __slots__ = ("hop", "network_ns", "timing")
    HOP_FIELD_NUMBER: _ClassVar[int]
    NETWORK_NS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    hop: str
    network_ns: int
    timing: _symbols_pb2.HopTiming
    def __init__(self, hop: _Optional[str] = ..., network_ns: _Optional[int] = ..., timing: _Optional[_Union[_symbols_pb2.HopTiming, _Mapping]] = ...) -> None: ...

class TransmissionReport(_message.Message):
    __slots__ = ("method", "checkpoint_digest", "seed", "rho", "channel_uses", "header_bits", "noise_digest", "quality", "hops", "load_ns", "codec_ns", "score_ns", "total_ns")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RHO_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_USES_FIELD_NUMBER: _ClassVar[int]
    HEADER_BITS_FIELD_NUMBER: _ClassVar[int]
    NOISE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    LOAD_NS_FIELD_NUMBER: _ClassVar[int]
    CODEC_NS_FIELD_NUMBER: _ClassVar[int]
    SCORE_NS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_NS_FIELD_NUMBER: _ClassVar[int]
    method: str
    checkpoint_digest: str
    seed: int
    rho: float
    channel_uses: int
    header_bits: int
    noise_digest: str
    quality: Quality
    hops: _containers.RepeatedCompositeFieldContainer[HopReport]
    load_ns: int
    codec_ns: int
    score_ns: int
    total_ns: int
    def __init__(self, method: _Optional[str] = ..., checkpoint_digest: _Optional[str] = ..., seed: _Optional[int] = ..., rho: _Optional[float] = ..., channel_uses: _Optional[int] = ..., header_bits: _Optional[int] = ..., noise_digest: _Optional[str] = ..., quality: _Optional[_Union[Quality, _Mapping]] = ..., hops: _Optional[_Iterable[_Union[HopReport, _Mapping]]] = ..., load_ns: _Optional[int] = ..., codec_ns: _Optional[int] = ..., score_ns: _Optional[int] = ..., total_ns: _Optional[int] = ...) -> None: ...

class SendImageResponse(_message.Message):
    __slots__ = ("report", "image_png")
    REPORT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PNG_FIELD_NUMBER: _ClassVar[int]
    report: TransmissionReport
    image_png: bytes
    def __init__(self, report: _Optional[_Union[TransmissionReport, _Mapping]] = ..., image_png: _Optional[bytes] = ...) -> None: ...

class RunSweepRequest(_message.Message):
    __slots__ = ("name", "dataset", "methods", "snr_db", "draws", "seed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    name: str
    dataset: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    snr_db: _containers.RepeatedScalarFieldContainer[float]
    draws: int
    seed: int
    def __init__(self, name: _Optional[str] = ..., dataset: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ..., snr_db: _Optional[_Iterable[float]] = ..., draws: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class RunSweepResponse(_message.Message):
    __slots__ = ("done", "total", "left_s", "message", "summary_md")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LEFT_S_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_MD_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    left_s: float
    message: str
    summary_md: str
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., left_s: _Optional[float] = ..., message: _Optional[str] = ..., summary_md: _Optional[str] = ...) -> None: ...

class DescribeOrchestratorRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeOrchestratorResponse(_message.Message):
    __slots__ = ("description", "services")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    description: _symbols_pb2.ServiceDescription
    services: _containers.RepeatedCompositeFieldContainer[_symbols_pb2.ServiceDescription]
    def __init__(self, description: _Optional[_Union[_symbols_pb2.ServiceDescription, _Mapping]] = ..., services: _Optional[_Iterable[_Union[_symbols_pb2.ServiceDescription, _Mapping]]] = ...) -> None: ...
