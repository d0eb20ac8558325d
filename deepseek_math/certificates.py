"""What is wrong with a server's certificate, in words, for downloads and for an engine elsewhere."""

import ssl
import urllib.error
from collections.abc import Iterator


def distrust(fault: object) -> str:
    """Why `fault` is one of the server's certificate, without a full stop; empty where it is another one."""
    for error in causes(fault):
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted here ({error}). Where a house has its own authority, "
                "SSL_CERT_FILE names the file with its certificate and the public ones"
            )
    return ""


def causes(error: object) -> Iterator[BaseException]:
    """The error itself, what it came from, and so on."""
    while isinstance(error, BaseException):
        yield error
        cause = error.__cause__ or error.__context__
        if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
            cause = error.reason
        error = cause
