"""The way to an endpoint below HTTP: the name's address, the connection, the certificate."""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from langchain_azure_phi3._doctor import report
from langchain_azure_phi3._doctor.report import Finding, skipped
from langchain_azure_phi3._http.routes import Route

_UNTRUSTED = (
    "If a proxy or gateway of your own opens the connection, name its authority's certificate in "
    "SSL_CERT_FILE, or pass http_client=httpx.Client(verify=...). Otherwise somebody else answers: "
    "do not switch the check off."
)
_OUT_OF_DATE = (
    "Whoever runs the host must renew it; or the clock of this machine is wrong. Do not switch the "
    "check off."
)
_ANOTHER_NAME = (
    "The certificate is for another host: check how the endpoint is written, and whether a proxy "
    "or a private name stands in between. Do not switch the check off."
)
# OpenSSL's X509_V_ERR_*: not yet valid, expired, and another name or address.
_BY_VERIFY_CODE = {9: _OUT_OF_DATE, 10: _OUT_OF_DATE, 62: _ANOTHER_NAME, 64: _ANOTHER_NAME}


def reached(route: Route, timeout: float) -> Iterator[Finding]:
    """One finding for each step; `timeout` is seconds to connect."""
    url = urlsplit(route.chat_url)
    host, port = str(url.hostname), url.port or (443 if url.scheme == "https" else 80)
    proxies = getproxies()
    proxy = proxies.get(url.scheme, proxies.get("all"))
    if proxy is not None and not proxy_bypass(host):
        address = proxy.rpartition("@")[2]
        for step in ("name resolution", "connection", "TLS"):
            yield skipped(step, f"left to the proxy {address}, which the environment names")
        return
    found = _resolved(host, port)
    yield found
    if found.outcome != "failed":
        yield from _connected(host, port, url.scheme == "https", timeout)


def _resolved(host: str, port: int) -> Finding:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as problem:  # socket.gaierror, or a name that is none
        means = (
            "No such host is known here: look for a typing mistake, a VPN that is needed, or an "
            "endpoint that was deleted, as those of retired deployments are."
        )
        return Finding("name resolution", "failed", f"{host}: {problem}", means)
    except UnicodeError:
        return Finding("name resolution", "failed", f"{host} is no host name")
    addresses = sorted({str(answer[4][0]) for answer in answers})
    if addresses == [host]:
        return Finding("name resolution", "ok", f"{host} is an address itself")
    return Finding("name resolution", "ok", f"{host} is {', '.join(addresses)}")


def _connected(host: str, port: int, secure: bool, timeout: float) -> Iterator[Finding]:
    try:
        began = time.perf_counter()
        with socket.create_connection((host, port), timeout=timeout) as raw:
            took = (time.perf_counter() - began) * 1000
            yield Finding("connection", "ok", f"to port {port}, in {took:.0f} ms")
            if not secure:
                yield skipped("TLS", "plain http on this machine")
            else:
                yield _secured(raw, host)
    except ConnectionRefusedError:
        means = "Nothing listens there: start the server, or correct the port."
        yield Finding("connection", "failed", f"port {port} of {host} refuses", means)
    except OSError as problem:
        means = "A firewall, a private network, or a host that is down."
        yield Finding("connection", "failed", f"port {port} of {host}: {problem}", means)


def _secured(raw: socket.socket, host: str) -> Finding:
    # The certificates that the chat model's client trusts.
    context = httpx.create_ssl_context()
    try:
        with context.wrap_socket(raw, server_hostname=host) as secured:
            certificate: Mapping[str, Any] = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as problem:
        means = _BY_VERIFY_CODE.get(problem.verify_code, _UNTRUSTED)
        return Finding("TLS", "failed", problem.verify_message or str(problem), means)
    except ssl.SSLError as problem:
        means = "The port does not speak TLS: check the port, or whether the URL should be http."
        return Finding("TLS", "failed", str(problem), means)
    except OSError as problem:
        means = "The connection was closed during the handshake: a firewall, or another protocol."
        return Finding("TLS", "failed", str(problem), means)
    return Finding("TLS", "ok", f"{version}, {report.certificate_of(certificate)}")
