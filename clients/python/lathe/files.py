"""Files that the service made, fetched whole or not at all."""
from __future__ import annotations

import hashlib
import http.client
import os
import pathlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from .errors import LatheError, Unreachable

if TYPE_CHECKING:
    from .client import Lathe, Path

CHUNK = 1 << 20


def _digest(path: pathlib.Path) -> str:
    hash = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            hash.update(chunk)
    return hash.hexdigest()


def plain_name(name: Any) -> str:
    """A name of one file or folder, or an error: what a service says must not lead elsewhere."""
    if not isinstance(name, str) or not re.fullmatch(r"[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}", name):
        raise LatheError(f"{str(name)[:60]!r} is no name for a file here")
    return name


def read(reply: http.client.HTTPResponse, most: Optional[int] = None) -> bytes:
    """What read() of a reply gives; Unreachable when the connection breaks meanwhile."""
    try:
        return reply.read(most)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the connection broke: {error!r}") from error


def _fetch(service: "Lathe", file: dict[str, Any], part: pathlib.Path) -> None:
    """Goes on with what an earlier call left in `part`, if its end can be checked."""
    whole = file.get("bytes")
    at = part.stat().st_size if file.get("sha256") and whole and part.is_file() else 0
    at = at if whole and at < whole else 0
    headers = {"Accept": "*/*", **({"Range": f"bytes={at}-"} if at else {})}
    with service._open("GET", f"/v1/artifacts/{plain_name(file['artifact'])}/content", headers=headers) as reply:
        with open(part, "r+b" if at and reply.status == 206 else "wb") as out:
            out.seek(0, os.SEEK_END)
            try:
                while chunk := read(reply, CHUNK):
                    out.write(chunk)
            except Unreachable as error:
                raise Unreachable(f"{part}: {error}; again goes on") from error
    if whole is not None and part.stat().st_size < whole:
        raise Unreachable(f"{part}: {part.stat().st_size} of {whole} bytes came; again goes on")


def download(service: "Lathe", files: Iterable[dict[str, Any]], folder: "Path") -> list[pathlib.Path]:
    """Files ({"artifact", "name", "bytes", "sha256"}) into a folder. Those that are there already stay;
    what comes must have the checksum that was promised."""
    found = []
    where = pathlib.Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    for file in files:
        place = where / plain_name(file["name"])
        wanted: Optional[str] = file.get("sha256")
        if not (wanted and place.is_file() and _digest(place) == wanted):
            part = place.with_name(place.name + ".part")
            _fetch(service, file, part)
            if wanted and _digest(part) != wanted:
                part.unlink()
                raise LatheError(f"{place}: what came has not the checksum {wanted[:12]}... that was promised")
            part.replace(place)
        found.append(place)
    return found
