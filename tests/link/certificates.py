"""A small authority, by openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest


class Authority:
    """Issues server certificates."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / f"{name}.crt"
        self._key = directory / f"{name}.key"
        new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
        self._run(*new.split(), "-subj", f"/CN=test {name}", "-keyout", self._key, "-out", self.ca)

    def server(self, host: str, *, expired: bool = False) -> tuple[Path, Path]:
        """(certificate, key) for a host name or address."""
        stem = self._directory / f"{host}{'-expired' if expired else ''}"
        request, key, certificate, names = (stem.with_suffix(s) for s in (".csr", ".key", ".crt", ".ext"))
        kind = "IP" if host.replace(".", "").isdigit() else "DNS"
        names.write_text(f"subjectAltName={kind}:{host}\n")
        new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        self._run(*new.split(), "-subj", f"/CN={host}", "-keyout", key, "-out", request)
        # `-days -1`: it ended yesterday.
        days = "-1" if expired else "30"
        sign = ["x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial"]
        self._run(*sign, "-days", days, "-extfile", names, "-out", certificate)
        return certificate, key

    def sign(self, request: str, days: int = 30) -> str:
        """A certificate for somebody's own key, PEM as the request."""
        file, certificate = self._directory / "request.csr", self._directory / "signed.crt"
        file.write_text(request)
        sign = ["x509", "-req", "-in", file, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial"]
        self._run(*sign, "-days", str(days), "-copy_extensions", "copy", "-out", certificate)
        return certificate.read_text()

    @staticmethod
    def _run(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
