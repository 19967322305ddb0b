"""Files of a repository at one commit: from a folder, a .tar.gz file, or its address."""

import hashlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch

from tft.core.config import environment
from tft.core.errors import InputError

LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


def read_files(
    place: str, wanted: Callable[[str], bool], commit: str, hint: str
) -> Iterator[tuple[str, bytes]]:
    """Yield (path relative to the repository's root, content) of the wanted files.

    Args:
        place: A folder, a .tar.gz file, or its address (see `download`). The archive has the layout
            that GitHub serves for a commit: one top folder, whose name ends in the commit or a
            prefix of it.
        wanted: Selects files by relative path.
        commit: The commit in which the name of an archive's top folder must end. A plain folder
            does not say its commit, so callers check checksums.
        hint: How to choose another place, for error messages.

    Raises:
        InputError: there is no such file or folder, or the archive is incomplete or of another
            commit.
    """
    path = download(place, hint) if re.match(r"https?://", place) else Path(place)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if wanted(name) and file.is_file():
                yield name, file.read_bytes()
    elif path.is_file():
        yield from _read_archive(path, wanted, commit, hint)
    else:
        raise InputError(f"{place}: no such file or folder; {hint}")


def _read_archive(
    path: Path, wanted: Callable[[str], bool], commit: str, hint: str
) -> Iterator[tuple[str, bytes]]:
    try:
        # As a stream, because one pass in file order suffices and gzip cannot seek.
        with tarfile.open(path, mode="r|gz") as archive:
            for member in archive:
                top, *parts = PurePosixPath(member.name).parts or ("",)
                suffix = re.search(r"-([0-9a-f]{7,40})$", top)
                if not suffix or not commit.startswith(suffix[1]):
                    raise InputError(
                        f"{path}: top folder {top!r}: expected one that ends in -{commit} or its "
                        f"first 7 or more digits, as in GitHub's archive of that commit; {hint}"
                    )
                name = "/".join(parts)
                content = archive.extractfile(member)  # None for folders
                if content and wanted(name):
                    yield name, content.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"{path}: not a complete .tar.gz ({error}); delete it and fetch it again, or {hint}"
        ) from error


def download(place: str, hint: str) -> Path:
    """Download an address once into the cache folder (`TFT_CACHE`, default .cache/).

    A download is complete or absent: pooch writes to a temporary file, checks, and renames it. A
    killed download starts again. Plain http is allowed only on this machine, for a mirror or a
    tunnel.

    Args:
        place: An https address. If it ends in #sha256=DIGEST, the archive must have that checksum.
            The shipped addresses have none, because GitHub may pack the same commit into different
            bytes; instead the commit is checked and, for SGD, the checksum of every file.
        hint: How to choose another place, for error messages.

    Raises:
        InputError: the address is not https, there is no answer or one other than status 200, or
            the download is incomplete or has another checksum.
    """
    url, _, digest = place.partition("#sha256=")
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    pooch.get_logger().setLevel("WARNING")
    try:
        _refuse_plain_http(url, hint)
        path = pooch.retrieve(
            url,
            known_hash=f"sha256:{digest}" if digest else None,
            fname=f"{key}-{Path(url).name}",
            path=Path(environment("TFT_CACHE", ".cache")) / "downloads",
            downloader=pooch.HTTPDownloader(
                progressbar=True,
                chunk_size=1 << 20,
                timeout=60,
                # Called for every address of a chain of redirects.
                hooks={"response": lambda answer, **_: _refuse_plain_http(answer.url, hint)},
            ),
        )
    except InputError:
        raise
    except (OSError, ValueError) as error:  # OSError: no answer or disk space; ValueError: checksum
        raise InputError(f"{url}: cannot be downloaded ({error}); {hint}") from error
    return Path(path)


def _refuse_plain_http(url: str, hint: str) -> None:
    address = urlsplit(url)
    if address.scheme != "https" and not LOOPBACK.fullmatch(address.hostname or ""):
        raise InputError(
            f"{url}: plain http, so the data could be changed on the way; use https, or {hint}"
        )
