"""Whether a package is installed in the version that we were written for: of some we use parts that are not public."""

from importlib.metadata import PackageNotFoundError, version

from deepseek_math.errors import ServiceError


def require_version(package: str, needed: str, *, user: str, code: str) -> None:
    """Raises ServiceError where another version is installed. Nothing is said of a package that is missing.

    Call it before the package is imported, which would fail in words of its own. `user` is what needs the package.
    """
    try:
        installed = version(package)
    except PackageNotFoundError:
        return  # the import says so
    if installed != needed:
        raise ServiceError(
            code, f"{user} needs {package} {needed}, and {installed} is installed. Run pip install {package}=={needed}."
        )
