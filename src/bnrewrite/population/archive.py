"""Archive: arrays by name as the bytes of an npz file, and back.

An npz file is a zip file of npy files, which NumPy reads. This one is not compressed, and its last
64 bytes, the comment of the zip file, are a digest of all before them: whatever is changed, or cut
off, shows.

Bytes that come from elsewhere may be anything. They are taken apart without evaluating what they
say, and nothing is made that is larger than they are: not by members that are compressed or
overlap, nor by an array whose shape promises more than there is. What does not fit is a ValueError.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_TAG = b"sha256:"
_N_HEX = 64
_ENCRYPTED = 1
_ENTRY = b"PK\x01\x02"  # what begins an entry of the index
_LEAST = 200  # bytes that a member takes
_MAGIC = b"\x93NUMPY"
_DESCRIPTION = re.compile(
    r"\{'descr': '([<>|=]?[fiubU]\d{1,9})', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,19}, ?)*(?:\d{1,19})?)\), \}\s*"
)


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of a file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, array, allow_pickle=False)
        archive.comment = _TAG + b"0" * _N_HEX
    content = buffer.getvalue()[:-_N_HEX]
    return content + hashlib.sha256(content).hexdigest().encode()


def is_sealed(content: bytes) -> bool:
    """Whether there is a digest at the end."""
    return content[-_N_HEX - len(_TAG) : -_N_HEX] == _TAG


def check_seal(content: bytes) -> None:
    """Refuse bytes whose digest, if they have one, is not theirs."""
    digest = hashlib.sha256(memoryview(content)[:-_N_HEX]).hexdigest().encode()
    if is_sealed(content) and digest != content[-_N_HEX:]:
        raise ValueError("its digest is not that of its content")


def unpacked(content: bytes) -> Arrays:
    """The arrays in the bytes of a file. They share its memory, and can't be written to."""
    try:
        if content.count(_ENTRY) * _LEAST > len(content):
            raise ValueError("its index lists more than there is")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members, len(content))
            return {m.filename.removesuffix(".npy"): _array(archive.read(m)) for m in members}
    except Exception as error:  # zipfile raises whatever foreign bytes lead it to
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    if sum(member.file_size for member in members) > size:
        raise ValueError("it says that it has more than there is")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it has several members of one name")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
            raise ValueError(f"member {member.filename[:100]!r} is compressed or encrypted")


def _array(npy: bytes) -> NDArray[Any]:
    """The array in an npy file."""
    n_bytes = {1: 2, 2: 4, 3: 4}.get(npy[6] if len(npy) > 7 else 0)
    if npy[:6] != _MAGIC or n_bytes is None:
        raise ValueError("a member is no npy file")
    begin = 8 + n_bytes
    end = begin + int.from_bytes(npy[8:begin], "little")
    description = _DESCRIPTION.fullmatch(npy[begin:end].decode("latin1"))
    if description is None:
        raise ValueError("a member is no array of numbers")
    dtype = np.dtype(description[1])
    shape = tuple(int(n) for n in description[3].split(",") if n.strip())
    if math.prod(shape) * dtype.itemsize != len(npy) - end:
        raise ValueError(f"an array of shape {shape} is not in its {len(npy) - end} bytes")
    flat = np.frombuffer(npy, dtype, offset=end)
    return flat.reshape(shape[::-1]).T if description[2] == "True" else flat.reshape(shape)
