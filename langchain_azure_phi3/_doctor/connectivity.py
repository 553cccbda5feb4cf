"""Checks the connectivity to an endpoint: name resolution, connection and certificate."""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from langchain_azure_phi3._doctor.report import Finding, describe_certificate, skipped
from langchain_azure_phi3._http.environment import ssl_context
from langchain_azure_phi3._http.routes import Route

_UNTRUSTED = (
    "If your own proxy or gateway decrypts the connection, set SSL_CERT_FILE to its authority's "
    "certificate, or pass http_client=httpx.Client(verify=...). Otherwise another server responds "
    "for this host: do not disable certificate verification."
)
_OUT_OF_DATE = (
    "The operator of the host must renew it, or this machine's clock is wrong. Do not disable "
    "certificate verification."
)
_WRONG_NAME = (
    "The certificate is for another host: check the endpoint's spelling, and whether a proxy or a "
    "private DNS name is involved. Do not disable certificate verification."
)
# OpenSSL's X509_V_ERR_*: not yet valid, expired, another name, another address.
_BY_VERIFY_CODE = {9: _OUT_OF_DATE, 10: _OUT_OF_DATE, 62: _WRONG_NAME, 64: _WRONG_NAME}


def check_connectivity(route: Route, timeout: float) -> Iterator[Finding]:
    """Yield one finding for each step; `timeout` is seconds to connect."""
    url = urlsplit(route.chat_url)
    host, port = str(url.hostname), url.port or (443 if url.scheme == "https" else 80)
    proxies = getproxies()
    proxy = proxies.get(url.scheme, proxies.get("all"))
    if proxy is not None and not (route.loopback or proxy_bypass(host)):
        address = proxy.rpartition("@")[2]
        for step in ("name resolution", "connection", "TLS"):
            yield skipped(step, f"done by the proxy {address} from the environment")
        return
    resolution = _resolve(host, port)
    yield resolution
    if resolution.outcome != "failed":
        yield from _connect(host, port, url.scheme == "https", timeout)


def _resolve(host: str, port: int) -> Finding:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:  # socket.gaierror, or an invalid name
        advice = (
            "This machine cannot resolve the host: check its spelling, whether you need a VPN, and "
            "whether the endpoint was deleted, as endpoints of retired deployments are."
        )
        return Finding("name resolution", "failed", f"{host}: {error}", advice)
    except UnicodeError:
        return Finding("name resolution", "failed", f"{host} is not a valid host name")
    addresses = sorted({str(answer[4][0]) for answer in answers})
    if addresses == [host]:
        return Finding("name resolution", "ok", f"{host} is an IP address")
    return Finding("name resolution", "ok", f"{host} is {', '.join(addresses)}")


def _connect(host: str, port: int, secure: bool, timeout: float) -> Iterator[Finding]:
    try:
        start = time.perf_counter()
        with socket.create_connection((host, port), timeout=timeout) as raw:
            milliseconds = (time.perf_counter() - start) * 1000
            yield Finding("connection", "ok", f"to port {port}, in {milliseconds:.0f} ms")
            yield _secure(raw, host) if secure else skipped("TLS", "the URL is plain http")
    except ConnectionRefusedError:
        advice = "No server listens there: start it, or correct the port."
        yield Finding("connection", "failed", f"{host} refuses port {port}", advice)
    except OSError as error:
        advice = "A firewall or a private network blocks the connection, or the host is down."
        yield Finding("connection", "failed", f"port {port} of {host}: {error}", advice)


def _secure(raw: socket.socket, host: str) -> Finding:
    # This context trusts the same certificates as the chat model's client.
    try:
        with ssl_context().wrap_socket(raw, server_hostname=host) as secured:
            certificate: Mapping[str, Any] = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = _BY_VERIFY_CODE.get(error.verify_code, _UNTRUSTED)
        return Finding("TLS", "failed", error.verify_message or str(error), advice)
    except ssl.SSLError as error:
        advice = "The port does not use TLS: check the port, or use http instead of https."
        return Finding("TLS", "failed", str(error), advice)
    except OSError as error:
        advice = "A firewall or a server of another protocol closed the connection."
        return Finding("TLS", "failed", str(error), advice)
    return Finding("TLS", "ok", f"{version}, {describe_certificate(certificate)}")
