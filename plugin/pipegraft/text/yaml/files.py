"""Between the bytes of a file and the text that is edited."""

from __future__ import annotations

from pipegraft.core.errors import EditRefused, Place

__all__ = ["decode"]

_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decode(data: bytes, file: str = "<text>") -> str:
    """Text of a file's bytes; ``text.encode()`` gives exactly the same bytes back.

    Line ends and a byte-order mark stay in the text.

    Arguments:
        data: the bytes.
        file: name for error messages.

    Raises:
        EditRefused: the bytes are not UTF-8.
    """
    if data[:2] in _OTHER_MARKS or (len(data) > 1 and 0 in data[:2]):
        raise EditRefused(
            "expected UTF-8, found UTF-16 or UTF-32", place=Place(file, 1, 1), fix="save it as UTF-8"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        raise EditRefused(
            f"expected UTF-8, found the byte 0x{data[error.start]:02x}",
            place=Place(file, line, column),
            fix="save the file as UTF-8",
        ) from None
