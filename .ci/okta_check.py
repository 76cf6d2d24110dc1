"""`plumm okta-check` against plumm behind nginx with TLS and behind Caddy with TLS, as Okta and as Entra ID: every step
passes. And with nginx in front of nothing, or with a login of its own, it says so.

    okta_check.py PLUMM_BINARY FOLDER

FOLDER is where .ci/debian has unpacked the proxies; those of the host will do too. One that is not there is said to
be not run. Everything listens on loopback.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from plumm import Server, command, not_run  # noqa: E402

SECONDS_MAX = 30


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def openssl(*arguments, **more):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def certificates(folder):
    """An authority, one below it, and a certificate of localhost: its whole chain, and itself alone."""
    def path(name):
        return os.path.join(folder, name)

    def request(name, subject):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                path(f"{name}.key"), "-out", path(f"{name}.csr"), "-subj", subject)

    def sign(name, by, extensions):
        with open(path(f"{name}.ext"), "w") as file:
            file.write(extensions)
        openssl("x509", "-req", "-in", path(f"{name}.csr"), "-CA", path(f"{by}.pem"), "-CAkey", path(f"{by}.key"),
                "-CAcreateserial", "-days", "90", "-extfile", path(f"{name}.ext"), "-out", path(f"{name}.pem"))

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90",
            "-keyout", path("root.key"), "-out", path("root.pem"), "-subj", "/CN=Root")
    request("between", "/CN=Between")
    sign("between", "root", "basicConstraints=critical,CA:true\n")
    request("own", "/CN=localhost")
    sign("own", "between", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    with open(path("chain.pem"), "w") as chain:
        for name in ["own", "between"]:
            with open(path(f"{name}.pem")) as file:
                chain.write(file.read())


def nginx(program, folder, port, plumm, chain, login=""):
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "".join(f"{it}_temp_path {folder}/{it};\n" for it in kinds)
    main = os.path.join(folder, "nginx.conf")
    with open(main, "w") as file:
        file.write(f"daemon off; pid {folder}/pid; events {{}}\n"
                   f"http {{ access_log off; {temporary}\n"
                   f"server {{ listen 127.0.0.1:{port} ssl; server_name localhost;\n"
                   f"ssl_certificate {chain}; ssl_certificate_key {os.path.join(folder, 'own.key')};\n"
                   f"location / {{ {login} proxy_pass http://{plumm}; proxy_set_header Host $http_host; }} }} }}\n")
    return [program, "-e", "stderr", "-p", folder, "-c", main]


def caddy(program, folder, port, plumm, chain, login=""):
    main = os.path.join(folder, "Caddyfile")
    with open(main, "w") as file:
        file.write("{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tauto_https off\n}\n"
                   f"https://localhost:{port} {{\n\ttls {chain} {os.path.join(folder, 'own.key')}\n"
                   f"\t{login}\n\treverse_proxy {plumm}\n}}\n")
    return [program, "run", "--config", main, "--adapter", "caddyfile"]


class Proxy:
    """A proxy that runs, as nobody where this is root."""

    def __init__(self, make, program, folder, plumm, chain="chain.pem", login=""):
        self.port = free_port()
        arguments = make(program, folder, self.port, plumm, os.path.join(folder, chain), login)
        whose = {}
        if os.getuid() == 0:
            whose = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            for path in [folder, *(os.path.join(folder, it) for it in os.listdir(folder))]:
                shutil.chown(path, "nobody", "nogroup")
        self.log = open(os.path.join(folder, "log"), "w+")
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        self.process = subprocess.Popen(arguments, env=environment, cwd=folder, stdout=self.log,
                                        stderr=subprocess.STDOUT, **whose)
        begun = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                self.log.seek(0)
                assert self.process.poll() is None and time.monotonic() - begun < SECONDS_MAX, self.log.read()
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=SECONDS_MAX)
        finally:
            self.process.kill()
            self.log.close()


def check(binary, port, token, ca, *arguments):
    environment = {it: value for it, value in os.environ.items() if not it.startswith("PLUMM_")}
    environment.update(PLUMM_CHECK_TOKEN=token, PLUMM_ENV_FILE="")
    ran = subprocess.run([binary, "--json", "okta-check", f"https://localhost:{port}/scim/v2", "--ca", ca, *arguments],
                         env=environment, capture_output=True, text=True, timeout=240)
    answer = json.loads(ran.stdout)
    assert ran.returncode == (0 if answer["passed"] else 1), ran
    return answer


def failed(answer):
    return {it["name"]: it["seen"] for it in answer["steps"] if it["state"] == "failed"}


def main():
    binary, unpacked = (os.path.abspath(it) for it in sys.argv[1:])
    paths = os.pathsep.join([os.path.join(unpacked, "usr", it) for it in ("bin", "sbin")]
                            + [os.environ["PATH"], "/usr/sbin"])
    for name, make in [("nginx", nginx), ("caddy", caddy)]:
        program = shutil.which(name, path=paths)
        if not program:
            not_run(f"okta-check against plumm behind {name}: there is no {name} here")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o711)
            proxied = os.path.join(folder, name)
            os.mkdir(proxied)
            certificates(proxied)
            ca = os.path.join(folder, "ca.pem")
            shutil.copy(os.path.join(proxied, "root.pem"), ca)
            database = os.path.join(folder, "plumm.db")
            command(binary, database, "org", "create", "acme", "--activate")
            token = command(binary, database, "token", "create", "acme")["token"]
            server = Server(binary, database)
            plumm = "{}:{}".format(*server.address)
            try:
                with Proxy(make, program, proxied, plumm) as proxy:
                    for provider in ["okta", "entra"]:
                        answer = check(binary, proxy.port, token, ca, "--as", provider)
                        assert answer["passed"] and answer["left"] == [], failed(answer)
                        passed = [it for it in answer["steps"] if it["state"] == "ok"]
                        assert len(passed) >= 26, answer
                # Without the certificate in between.
                with Proxy(make, program, proxied, plumm, chain="own.pem") as proxy:
                    told = failed(check(binary, proxy.port, token, ca))
                    assert list(told) == ["certificate"] and "chain is incomplete" in told["certificate"], told
                if name == "nginx":
                    # With a login of its own.
                    login = "auth_basic people; auth_basic_user_file /dev/null;"
                    with Proxy(make, program, proxied, plumm, login=login) as proxy:
                        told = failed(check(binary, proxy.port, token, ca))
                        assert "a page for people (HTML)" in told["credentials"], told
                # In front of nothing.
                with Proxy(make, program, proxied, f"127.0.0.1:{free_port()}") as proxy:
                    told = failed(check(binary, proxy.port, token, ca))
                    assert list(told) == ["credentials"] and "502" in told["credentials"], told
                assert not server.complaints, server.complaints
            finally:
                server.kill()
        print(f"okta-check: plumm behind {name} with TLS passes as Okta and as Entra ID, and a chain with a gap, a login and "
              f"nothing behind it are told ({time.monotonic() - begun:.0f} s)")


main()
