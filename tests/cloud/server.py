"""A ministack that enforces roles and serves TLS, as AWS does: so the stack's TLS-only policy lets its clients in.

It runs in a session of its own and ends with this process, whichever way that one ends. It may leave functions behind
that it has started; they are found by a mark in their environment.
"""

import datetime
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tools import HERE, Failed, venv

ACCOUNT = "000000000000"
REGION = "us-east-1"
MARK = "KINGLET_CLOUD_CHECK"

# How often a start is tried: another program may take the port between its choice and its use.
STARTS = 5

# It takes three seconds; this is for a machine that is busy with everything else.
START_WAIT_S = 120


class Ministack:
    """Used in a `with`. Its keys are those of the account's root, who may do anything."""

    def __enter__(self) -> "Ministack":
        self.directory = tempfile.TemporaryDirectory(prefix="kinglet-cloud-")
        self.path = Path(self.directory.name)
        self.authority, certificate, key = make_certificate(self.path)
        self.mark = uuid.uuid4().hex
        try:
            for _ in range(STARTS):
                port = free_port()
                # By name: a rustls client takes no address that the certificate does not name, boto3 neither.
                self.url = f"https://localhost:{port}"
                self.process = self.spawn(port, certificate, key)
                if self.wait_until_healthy():
                    return self
        except BaseException:
            self.__exit__()
            raise
        raise Failed(f"ministack did not start on {STARTS} ports: {self.log()}")

    def spawn(self, port: int, certificate: Path, key: Path) -> subprocess.Popen:
        environment = self.environment() | {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "TMPDIR": str(self.path),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "AUTH": "true",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(certificate),
            "MINISTACK_SSL_KEY": str(key),
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "1",
            "LOG_LEVEL": "WARNING",
            MARK: self.mark,
        }
        with open(self.path / "log", "ab") as log:
            return subprocess.Popen(
                [venv("server") / "python", HERE / "../python/serve_ministack.py"],
                env=environment,
                cwd=self.path,
                # It ends when this pipe is closed.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """What any AWS client needs to come here: the names are those of every AWS tool."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # The authority, for Python and for rustls.
            "AWS_CA_BUNDLE": str(self.authority),
            "SSL_CERT_FILE": str(self.authority),
            # No profile of the user's gets in between.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def wait_until_healthy(self) -> bool:
        """False when it ended instead."""
        trust = ssl.create_default_context(cafile=str(self.authority))
        until = time.monotonic() + START_WAIT_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return False
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=10, context=trust) as answer:
                    if answer.status == 200:
                        return True
            except OSError:
                time.sleep(0.05)
        raise Failed(f"ministack does not answer: {self.log()}")

    def log(self) -> str:
        return (self.path / "log").read_text(errors="replace")

    def __exit__(self, *_: object) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            # It ends its functions when it is asked to; what it leaves is killed.
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()
        for pid in self.marked():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.directory.cleanup()

    def marked(self) -> list[int]:
        """The processes that were started by this ministack and live."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    pass
        return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_certificate(where: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate for localhost that it has signed, and its key."""
    now = datetime.datetime.now(datetime.UTC)

    def builder(
        name: str, issuer: str, public: ec.EllipticCurvePublicKey, is_authority: bool
    ) -> x509.CertificateBuilder:
        called = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
        made = x509.CertificateBuilder().subject_name(called[0]).issuer_name(called[1]).public_key(public)
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
            now + datetime.timedelta(days=2)
        )
        return made.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = builder("kinglet-check", "kinglet-check", authority_key.public_key(), True)
    authority = authority.add_extension(identifier, critical=False)
    usage = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
        + ["encipher_only", "decipher_only"],
        False,
    )
    authority = authority.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
    leaf = builder("localhost", "kinglet-check", key.public_key(), False)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    leaf = leaf.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    paths = where / "authority.pem", where / "certificate.pem", where / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(authority.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    paths[1].write_bytes(leaf.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    paths[2].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths
