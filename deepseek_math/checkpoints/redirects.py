"""Requests of plain http(s) addresses, with redirects that lead nowhere else.

A redirect is the server's own choice. So it may not lead to a file of this machine, nor into a private network that
only this machine can reach (a cloud's metadata service is the known case) unless the first address lies in one.
"""

import ipaddress
import socket
import urllib.request
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit

from deepseek_math.errors import ServiceError

SCHEMES = ("http", "https")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA has given out for the internet
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address for a network that has none (RFC 6052)


def open_url(request: urllib.request.Request | str, timeout: float) -> HTTPResponse:
    """As `urllib.request.urlopen`. Raises ServiceError("download_failed") for a redirect that is not followed."""
    try:
        response: HTTPResponse = _opener.open(request, timeout=timeout)
    except ValueError as error:  # the first address was read before: it is one that the server sends
        raise ServiceError("download_failed", f"The server redirects to what is not an address ({error}).") from error
    return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        refusal = _refusal(req.origin_req_host.strip("[]"), newurl)  # of an IPv6 address
        if refusal is not None:
            raise ServiceError("download_failed", f"{req.host} redirects to {refusal}. Use another address.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.build_opener(_Redirects)


def _refusal(first_host: str, url: str) -> str | None:
    """Where a redirect leads, if it is not followed."""
    address = urlsplit(url)
    if address.scheme not in SCHEMES:
        return f"a {address.scheme or 'relative'} address, and only http and https are followed"
    if _is_private(address.hostname or "") and not _is_private(first_host):
        return f"{address.hostname}, which is in a private network, and the first address is not"
    return None


def _is_private(host: str) -> bool:
    """Whether any of a host's addresses is not one of the public internet. A host without an address is not private."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(not _is_public(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    inner = address.ipv4_mapped or address.sixtofour  # the address that a gateway sends on to
    if address in NAT64:
        inner = ipaddress.IPv4Address(address.packed[-4:])
    if inner is not None:
        return _is_public(inner)
    return address in GLOBAL_UNICAST and address.is_global
