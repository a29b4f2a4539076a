"""The twin's TLS certificate: self-signed, for this machine's names, made once per project folder."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from twin.settings import CONTAINERS_NAME

DNS_NAMES = ("localhost", CONTAINERS_NAME)
VALID_DAYS = 365
RENEW_BEFORE_DAYS = 30


def ensure(certificate_file: Path, key_file: Path, host: str, now: dt.datetime) -> None:
    """Make certificate and key unless there is a pair that covers ``host`` and lasts another month."""
    addresses = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address(host)}
    if key_file.exists() and _serves(certificate_file, addresses, now):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lakehouse twin")])
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in DNS_NAMES]
    names += [x509.IPAddress(a) for a in sorted(addresses, key=str)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # Not a CA: a strict client refuses one that is served as a leaf.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file.parent.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(pem)
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def covers(certificate_file: Path, host: str) -> bool:
    """Whether a certificate is good for a name or an address."""
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return host in {*names.get_values_for_type(x509.DNSName), *addresses}


def _serves(
    certificate_file: Path, addresses: set[ipaddress.IPv4Address | ipaddress.IPv6Address], now: dt.datetime
) -> bool:
    if not certificate_file.exists():
        return False
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    covered = set(names.get_values_for_type(x509.IPAddress))
    lasts = certificate.not_valid_after_utc > now + dt.timedelta(days=RENEW_BEFORE_DAYS)
    return lasts and addresses <= covered
