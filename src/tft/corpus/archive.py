"""Files of a repository at one commit: from a folder, a .tar.gz or that archive's address."""

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
        place: a folder, a .tar.gz in the layout that GitHub serves for a commit (one top folder
            ending in the commit or a prefix of it), or the address of such an archive, as
            `download` takes it.
        wanted: chooses by relative path.
        commit: what an archive's top folder must end in; a plain folder carries no commit, there
            only the caller's checksums tell.
        hint: how to name another place, for error messages.

    Raises:
        InputError: nothing there, not a whole archive, or another commit's.
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
        # A stream, because one pass in file order is all it takes and gzip cannot seek.
        with tarfile.open(path, mode="r|gz") as archive:
            for member in archive:
                top, *rest = PurePosixPath(member.name).parts or ("",)
                found = re.search(r"-([0-9a-f]{7,40})$", top)
                if not found or not commit.startswith(found[1]):
                    raise InputError(
                        f"{path}: top folder {top!r}: expected one that ends in -{commit} or its "
                        f"first 7 or more digits, as in GitHub's archive of that commit; {hint}"
                    )
                name = "/".join(rest)
                content = archive.extractfile(member)  # None for folders
                if content and wanted(name):
                    yield name, content.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"{path}: not a whole .tar.gz ({error}); delete it and fetch it again, or {hint}"
        ) from error


def download(place: str, hint: str) -> Path:
    """Fetch an address into the cache folder (`TFT_CACHE`, default .cache/), once.

    A download is complete or not there: pooch writes beside, checks and renames. A killed one
    starts afresh. Plain http is allowed on this machine alone, for a mirror or a tunnel.

    Args:
        place: an https address. Where it ends in #sha256=DIGEST, the archive must have that
            checksum. The shipped addresses have none, because GitHub may pack the same commit into
            different bytes; there the commit and, of SGD, every file that is read are checked.
        hint: how to name another place, for error messages.

    Raises:
        InputError: an address that is not https, no answer, an answer other than 200, one that
            ended early or with another checksum.
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
                # For the answer of every address that redirects lead through.
                hooks={"response": lambda answer, **_: _refuse_plain_http(answer.url, hint)},
            ),
        )
    except InputError:
        raise
    except (OSError, ValueError) as error:  # OSError: no answer, no space; ValueError: a checksum
        raise InputError(f"{url}: cannot be downloaded ({error}); {hint}") from error
    return Path(path)


def _refuse_plain_http(url: str, hint: str) -> None:
    address = urlsplit(url)
    if address.scheme != "https" and not LOOPBACK.fullmatch(address.hostname or ""):
        raise InputError(
            f"{url}: plain http, where the data can be changed on the way; use https, or {hint}"
        )
