"""Results databases as the first version of the project left them."""

import contextlib
import sqlite3
from pathlib import Path

OLD_TIMES = ("network", "queue", "deserialize", "compute", "serialize")
OLD = (
    "CREATE TABLE results (dataset TEXT NOT NULL, image TEXT NOT NULL, method TEXT NOT NULL, checkpoint TEXT NOT NULL,"
    " channel TEXT NOT NULL, snr_db REAL NOT NULL, draw INTEGER NOT NULL, seed INTEGER NOT NULL, rho REAL NOT NULL,"
    " channel_uses INTEGER NOT NULL, header_bits INTEGER NOT NULL, noise_digest TEXT NOT NULL, psnr_db REAL, ssim REAL,"
    " ms_ssim REAL, lpips REAL, total_ms REAL NOT NULL, "
    + "".join(
        "".join(f"{hop}_{stage}_ms REAL NOT NULL, " for stage in OLD_TIMES)
        + f"{hop}_bytes_in INTEGER NOT NULL, {hop}_bytes_out INTEGER NOT NULL, "
        for hop in ("encoder", "channel", "decoder")
    )
    + "load_ms REAL NOT NULL, codec_ms REAL NOT NULL, score_ms REAL NOT NULL, options TEXT NOT NULL,"
    " started TEXT NOT NULL, warm_up INTEGER NOT NULL,"
    " PRIMARY KEY (dataset, image, method, checkpoint, channel, snr_db, draw, seed, options)) STRICT;"
    "CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;"
    "CREATE TABLE events (time TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE TABLE pictures (image TEXT NOT NULL, method TEXT NOT NULL, snr_db REAL NOT NULL, kind TEXT NOT NULL,"
    " png BLOB NOT NULL, PRIMARY KEY (image, method, snr_db, kind)) STRICT;"
)
OLD_OTHERS = (
    "CREATE TABLE computed (dataset TEXT NOT NULL, image TEXT NOT NULL, curve TEXT NOT NULL, snr_db REAL NOT NULL,"
    " rho REAL NOT NULL, bits INTEGER NOT NULL, delivered INTEGER NOT NULL, psnr_db REAL, ssim REAL, ms_ssim REAL,"
    " lpips REAL, PRIMARY KEY (dataset, image, curve, snr_db, rho)) STRICT;"
    "CREATE TABLE methods (name TEXT NOT NULL, method TEXT NOT NULL, checkpoint TEXT NOT NULL,"
    " transmitter_checkpoint TEXT NOT NULL, transmitter_parameters INTEGER NOT NULL, receiver_parameters INTEGER NOT"
    " NULL, rho REAL NOT NULL, options TEXT NOT NULL, learned TEXT NOT NULL, PRIMARY KEY (name)) STRICT;"
)
OLD_ROW = (
    "INSERT INTO results VALUES ('kodak', 'kodim01', 'diffusion', '0123456789abcdef', 'awgn', {snr_db}, {draw}, 7,"
    " 0.25, 294912, 32, 'ab', 25.5, 0.5, NULL, 0.25, 1839.046047,"
    " 12.53022, 0.139107, 1.303008, 575.855357, 0.222662, 99, 100,"
    " 10.857316, 0.317287, 14.74836, 13.240637, 0.251644, 199, 200,"
    " 14.127947, 0.150984, 0.898958, 703.915262, 0.246016, 299, 300,"
    " 11.150633, 1.2, 477.861339, '{options}', '2025-01-01T00:00:00+00:00', 1);"
)


def old_run(path: Path, more: str = "") -> None:
    """A database as the first version left it: rows in an order of their own, two of them of one method and SNR."""
    rows = [OLD_ROW.format(snr_db=5.0, draw=0, options='{"steps": 4}')]
    rows += [OLD_ROW.format(snr_db=snr_db, draw=draw, options="") for snr_db in (5.0, 10.0) for draw in (1, 0)]
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode = WAL;" + OLD + "".join(rows) + more)
