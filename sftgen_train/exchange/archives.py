"""Files in zip archives of strangers, read one by one: nothing is unpacked onto the disk, and every size is bounded."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sftgen_train.exchange.importing import LogError

MOST_BYTES = 256 << 20
"""Of one file, unpacked."""
MOST_DIRECTORY = 64 << 20
"""Of the list of files, which is read whole: half a million files."""
_ZSTANDARD = 93
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_TAIL = (1 << 16) + 128


class Archive:
    """A zip archive, open for reading.

    Attributes:
        path: Where it stands.
        names: Its files; of two with one name the later one counts.
    """

    def __init__(self, path: Path) -> None:
        """Read the list of files.

        Raises:
            LogError: It is no zip archive, or holds too many files.
        """
        self.path = path
        with _readable(path):
            self._file = path.open("rb")
            try:
                if (size := _directory_bytes(self._file)) > MOST_DIRECTORY:
                    raise LogError(f"{path}: its list of files has {size:,} bytes; expected at most {MOST_DIRECTORY:,}")
                self._zip = zipfile.ZipFile(self._file)
            except BaseException:
                self._file.close()
                raise
        self.names = list(self._zip.NameToInfo)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._zip.close()
        self._file.close()

    def read(self, name: str) -> bytes:
        """A file of it.

        Raises:
            LogError: It is too large, encrypted, compressed in an unknown way or damaged.
        """
        info = self._zip.getinfo(name)
        where = f"{self.path}, file {name[:100]!r}"
        if info.file_size > MOST_BYTES:
            raise LogError(f"{where}: has {info.file_size:,} bytes unpacked; expected at most {MOST_BYTES:,}")
        with _readable(where):
            if info.compress_type == _ZSTANDARD:
                found = self._unpacked(info, where)
            else:
                with self._zip.open(info) as file:
                    found = file.read(info.file_size + 1)
        if len(found) != info.file_size or zlib.crc32(found) != info.CRC:
            raise LogError(f"{where}: is damaged: it is not what the list of files says")
        return found

    def _unpacked(self, info: zipfile.ZipInfo, where: str) -> bytes:
        """A file that is compressed with Zstandard, which Python's own reader knows from 3.14 on."""
        import pyarrow as pa

        self._file.seek(0, 2)
        end = self._file.tell()
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04" or info.flag_bits & 1:
            raise LogError(f"{where}: is damaged, or encrypted")
        self._file.seek(sum(struct.unpack("<HH", header[26:30])), 1)
        packed = self._file.read(max(0, min(info.compress_size, end - self._file.tell())))
        found: bytes = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read(info.file_size + 1)
        return found


@contextmanager
def _readable(where: Any) -> Iterator[None]:
    """What cannot be read, as an error that names it."""
    try:
        yield
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"{where}: cannot be read: {error}") from error


def _directory_bytes(file: IO[bytes]) -> int:
    """How long the list of files says it is; 0 where there is none."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _TAIL))
    tail = file.read()
    file.seek(0)
    end, end_64 = tail.rfind(_END), tail.rfind(_END_64)
    if end < 0 or len(tail) < end + 22:
        return 0
    small = int(struct.unpack("<L", tail[end + 12 : end + 16])[0])
    if small != 0xFFFFFFFF or end_64 < 0 or len(tail) < end_64 + 48:
        return small
    return int(struct.unpack("<Q", tail[end_64 + 40 : end_64 + 48])[0])
