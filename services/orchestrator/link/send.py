"""One image through the link, as the API asks for it."""

from jscc.images import ImageTooLargeError, encode_png
from jscc.signals import derive_seed
from jscc.wire import convert
from jscc.wire.errors import TooLargeError
from jscc.wire.v1 import orchestrator_pb2 as pb
from services.orchestrator.link.star import Air, Job
from services.orchestrator.link.transmission import Engine, report

MAX_NAME = 200
NOISELESS_SNR_DB = 20.0
"""What the transmitter is told when nothing is added: the best SNR that methods are trained for."""


async def send_image(engine: Engine, request: pb.SendImageRequest) -> pb.SendImageResponse:
    """Answer a SendImageRequest.

    Raises:
        TooLargeError: the image has too many pixels.
        ValueError: a field is out of its range.
        LinkError: a hop failed.
    """
    chosen = request.WhichOneof("channel")
    if chosen is None:
        raise ValueError("channel: none chosen (known: awgn, noiseless)")
    if len(request.image_id) > MAX_NAME:
        raise ValueError(f"image_id: {len(request.image_id)} characters, the limit is {MAX_NAME}")
    snr_db = request.awgn.snr_db if chosen == "awgn" else NOISELESS_SNR_DB
    seed = derive_seed(request.seed, request.image_id, snr_db, request.draw)
    options = convert.plain_options(request.options)
    job = Job(request.image_id, request.method, Air(chosen, snr_db), seed, options)
    try:
        transmission = await engine.transmit(job, request.image_file)
    except ImageTooLargeError as error:
        raise TooLargeError(str(error)) from error
    return pb.SendImageResponse(report=report(transmission, seed), image_png=encode_png(transmission.delivery.pixels))
