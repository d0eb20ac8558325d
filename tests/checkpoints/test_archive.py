"""Tars from strangers: what is unpacked, and that nothing is written or linked outside the folder."""

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from deepseek_math.checkpoints import archive
from deepseek_math.errors import ServiceError

Mode = Literal["w", "w:gz", "w:bz2", "w:xz"]
PACKED: tuple[Mode, ...] = ("w", "w:gz", "w:bz2", "w:xz")
ENOUGH = 1 << 20
FILE, FOLDER, LINK, HARD_LINK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
CONFIG = (FILE, "m/config.json", "{}")
LONG = "d" * 240  # a path of these is longer than PATH_MAX, where realpath stops to follow links

# name: members (type, name, content or where a link leads), and what is told
REFUSED: dict[str, tuple[list[tuple[bytes, str, str]], str]] = {
    "a name that climbs out": ([CONFIG, (FILE, "../evil", "x")], "leads out"),
    "a name that climbs out in the middle": ([CONFIG, (FILE, "m/a/../../../evil", "x")], "leads out"),
    "an absolute name": ([CONFIG, (FILE, "/OUTSIDE/evil", "x")], "leads out"),
    "a link that leads out": ([CONFIG, (LINK, "m/link", "../../OUTSIDE")], "leads out"),
    "an absolute link": ([CONFIG, (LINK, "m/link", "/OUTSIDE/secret")], "leads out"),
    "a hard link that leads out": ([CONFIG, (HARD_LINK, "m/link", "../secret")], "leads out"),
    "a hard link to an absolute name": ([CONFIG, (HARD_LINK, "m/link", "/OUTSIDE/secret")], "leads out"),
    "a file through a link to a folder": (
        [CONFIG, (FOLDER, "m/in", ""), (LINK, "m/up", "in"), (FILE, "m/up/evil", "x")],
        "a file or a link, and a folder as well",
    ),
    "a file through a file": ([CONFIG, (FILE, "m/config.json/evil", "x")], "a file or a link, and a folder as well"),
    "a file over a link": (
        [CONFIG, (LINK, "m/link", "config.json"), (FILE, "m/link", "x")],
        "it holds m/link twice",
    ),
    "a link over a file": ([CONFIG, (LINK, "m/config.json", "x")], "it holds m/config.json twice"),
    "a file over a file": ([CONFIG, CONFIG], "it holds m/config.json twice"),
    "a folder over a link": (
        [CONFIG, (LINK, "m/link", "config.json"), (FOLDER, "m/link", "")],
        "a file or a link, and a folder as well",
    ),
    "a chain of links that leads out (CVE-2025-4517)": (
        [
            CONFIG,
            *[(FOLDER, "/".join([LONG] * depth), "") for depth in range(1, 17)],
            (LINK, "/".join(["l"] * 16), "/".join([".."] * 16)),
            (LINK, "escape", "/".join(["l"] * 16) + "/../../OUTSIDE"),
            (FILE, "escape/evil", "x"),
        ],
        "",
    ),
    "links in a circle": ([CONFIG, (LINK, "m/a", "b"), (LINK, "m/b", "a")], "leads back to itself"),
    "a link to itself": ([CONFIG, (LINK, "m/a", "a")], "leads back to itself"),
    "a link to a folder": ([CONFIG, (LINK, "m/a", ".")], "does not hold"),
    "a link to what is not in the tar": ([CONFIG, (LINK, "m/a", "gone")], "does not hold"),
    "a hard link to what is not in the tar": ([CONFIG, (HARD_LINK, "m/a", "gone")], "does not hold"),
    "a named pipe": ([CONFIG, (tarfile.FIFOTYPE, "m/pipe", "")], "neither a file"),
    "a device": ([CONFIG, (tarfile.CHRTYPE, "m/device", "")], "neither a file"),
    "more than may be unpacked": ([CONFIG, (FILE, "m/large", "x" * ENOUGH)], "unpacks to more than"),
    "folders deeper than Python removes": (
        [CONFIG, (FILE, f"m/{'d/' * 1000}x", "")],
        "lies in more than 20 folders",
    ),
    "more folders than a checkpoint has": (
        [CONFIG, *[(FILE, f"{number}/{'d/' * 18}x", "") for number in range(600)]],
        "more than 10000 files and folders",
    ),
    "a name that orders the terminal about": (
        [CONFIG, (FILE, "m/\x1b]52;c;eA==\x07", "")],
        r"'m/\x1b]52;c;eA==\x07'",
    ),
    "a link to a name that orders the terminal about": (
        [CONFIG, (LINK, "m/link", "\x9b2J")],
        r"'m/\x9b2J'",
    ),
    "more files than a checkpoint has": (
        [CONFIG, *[(FILE, f"m/{number}", "") for number in range(archive.MOST_MEMBERS)]],
        "more than 10000 files",
    ),
}


def packed(path: Path, members: list[tuple[bytes, str, str]], mode: Mode = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for kind, name, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            data = content.encode() if kind == FILE else b""
            member.size = len(data)
            if kind in (LINK, HARD_LINK):
                member.linkname = content
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_an_archive_that_reaches_out_or_contradicts_itself_is_refused(tmp_path: Path, outside: Path, name: str) -> None:
    members, told = REFUSED[name]
    aimed = [
        (kind, path.replace("/OUTSIDE", str(outside)), content.replace("/OUTSIDE", str(outside)))
        for kind, path, content in members
    ]
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    tar = packed(tmp_path / "m.tar", aimed)
    with pytest.raises(ServiceError) as refused:
        archive.unpack(tar, tmp_path / "target", ENOUGH)
    assert refused.value.code == "checkpoint_unusable"
    assert told in refused.value.message
    assert sorted(str(path) for path in tmp_path.rglob("*") if "target" not in path.parts and path != tar) == before
    assert (outside / "secret").read_text() == "secret"
    assert os.stat(outside / "secret").st_nlink == 1


def test_links_to_files_of_the_archive_become_names_of_them(tmp_path: Path) -> None:
    """The shape of the hub's cache, in any order."""
    members = [
        (LINK, "m/snapshots/main/config.json", "../../blobs/abc"),
        (LINK, "m/snapshots/main/same.json", "config.json"),
        (HARD_LINK, "m/snapshots/main/third.json", "m/blobs/abc"),
        (FOLDER, "./m/blobs", ""),
        (FILE, "./m/blobs/abc", "{}"),
    ]
    folder = archive.unpack(packed(tmp_path / "m.tar", members), tmp_path / "target", ENOUGH)
    assert folder == tmp_path / "target/m/snapshots/main"
    for name in ("config.json", "same.json", "third.json"):
        assert (folder / name).read_text() == "{}"
        assert not (folder / name).is_symlink()


@pytest.mark.parametrize("mode", PACKED)
def test_a_plain_archive_keeps_its_files(tmp_path: Path, mode: Mode) -> None:
    members = [(FOLDER, "m", ""), CONFIG, (FILE, "m/sub/model", "x" * 9999)]
    folder = archive.unpack(packed(tmp_path / "m.tar", members, mode), tmp_path / "target", ENOUGH)
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "sub/model").read_text() == "x" * 9999


def header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("m/config.json")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


RECORDS = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
SPARSE = header(tarfile.XHDTYPE, len(RECORDS)) + RECORDS.ljust(512, b"\0") + header(FILE, 1 << 40)
# name: what an archive begins with, and what follows without end
HEADERS = {
    "a long name": (header(tarfile.GNUTYPE_LONGNAME, 1 << 40), b"\0"),
    "a long link": (header(tarfile.GNUTYPE_LONGLINK, 1 << 40), b"\0"),
    "attributes": (header(tarfile.XHDTYPE, 1 << 40), b"\0"),
    "attributes of all": (header(tarfile.XGLTYPE, 1 << 40), b"\0"),
    "where a sparse file has holes": (SPARSE + b"99999999\n", b"1\n"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, name: str) -> None:
    begin, fill = HEADERS[name]
    tar = tmp_path / "m.tar.gz"
    tar.write_bytes(gzip.compress(begin + fill * (8 << 20), 1))
    with pytest.raises(
        ServiceError, match="checkpoint_unusable: m.tar.gz is refused: one of its headers has more than"
    ):
        archive.unpack(tar, tmp_path / "target", ENOUGH)


def test_an_archive_that_ends_in_a_header_is_refused(tmp_path: Path) -> None:
    tar = tmp_path / "m.tar"
    tar.write_bytes(SPARSE + b"99999999\n".ljust(512, b"1"))
    with pytest.raises(ServiceError, match="checkpoint_unusable: m.tar can't be unpacked"):
        archive.unpack(tar, tmp_path / "target", ENOUGH)
