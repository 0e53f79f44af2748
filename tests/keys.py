"""Certificates and keys, made by openssl for a test."""
import os
import pathlib
import subprocess

from agent_fixture import PATIENCE


def openssl(*arguments, text=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, timeout=PATIENCE, text=True,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {done.stderr}")
    return done.stdout


class Keys:
    """An authority, a server's certificate of it, clients' certificates, and what should be refused."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.authority("ca")
        self.authority("stranger")
        self.certificate("server", "ca", "DNS:localhost,IP:127.0.0.1")
        self.certificate("second", "ca", "DNS:localhost,IP:127.0.0.1")
        self.certificate("client", "ca", "DNS:scraper.example")
        self.certificate("other", "ca", "DNS:other.example")
        self.certificate("foreign", "stranger", "DNS:scraper.example")
        self.certificate("expired", "ca", "DNS:scraper.example", "-days", "-1")

    def path(self, name):
        return str(self.folder / name)

    def authority(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"))

    def certificate(self, name, authority, names, *validity):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-addext",
                f"subjectAltName={names}", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"))
        openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{authority}.pem"), "-CAkey",
                self.path(f"{authority}.key"), "-CAcreateserial", "-copy_extensions", "copy",
                *(validity or ("-days", "2")), "-out", self.path(f"{name}.pem"))
        os.chmod(self.path(f"{name}.key"), 0o600)
