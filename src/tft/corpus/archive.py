"""Files of a repository at one commit: from a folder, a .tar.gz or that archive's address."""

import hashlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import requests
from tqdm import tqdm

from tft.core.config import environment
from tft.core.errors import InputError
from tft.core.tables import atomic_path


def read_files(
    place: str, wanted: Callable[[str], bool], commit: str, hint: str
) -> Iterator[tuple[str, bytes]]:
    """Yield (path relative to the repository's root, content) of the wanted files.

    Args:
        place: a folder, a .tar.gz in the layout that GitHub serves for a commit (one top folder
            ending in the commit or a prefix of it), or the https address of such an archive.
        wanted: chooses by relative path.
        commit: what an archive's top folder must end in; a plain folder carries no commit, there
            only the caller's checksums tell.
        hint: how to name another place, for error messages.

    Raises:
        InputError: nothing there, not a whole archive, or another commit's.
    """
    path = download(place, hint) if place.startswith(("https://", "http://")) else Path(place)
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


def download(url: str, hint: str) -> Path:
    """Fetch `url` into the cache folder (`TFT_CACHE`, default .cache/), once.

    Raises:
        InputError: no answer, an answer other than 200, or one that ended early.
    """
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    path = Path(environment("TFT_CACHE", ".cache")) / "downloads" / f"{key}-{Path(url).name}"
    if path.exists():
        return path
    try:
        with requests.get(url, stream=True, timeout=60) as answer:
            answer.raise_for_status()
            total = int(answer.headers.get("Content-Length", 0)) or None
            with (
                atomic_path(path) as beside,
                beside.open("wb") as file,
                tqdm(total=total, unit="B", unit_scale=True, desc=path.name) as bar,
            ):
                for chunk in answer.iter_content(chunk_size=1 << 20):
                    file.write(chunk)
                    bar.update(len(chunk))
    except requests.RequestException as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); {hint}") from error
    return path
