"""`plumm okta-check` against plumm behind nginx with TLS and behind Caddy with TLS, as Okta and as Entra ID: every step
passes. And with nginx in front of nothing, or with a login of its own, it says so.

    okta_check.py PLUMM_BINARY FOLDER

FOLDER is where .ci/debian has unpacked the proxies; those of the host will do too. One that is not there is said to
be not run. Everything listens on loopback.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from plumm import Server, command, not_run  # noqa: E402
from proxy import Proxy, caddy_alone, found, free_port, nginx_alone, write  # noqa: E402


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


def certified(made, folder, chain):
    """What a proxy shows, in its own folder: these certificates, and their key."""
    paths = []
    for name in (chain, "own.key"):
        with open(os.path.join(made, name)) as file:
            paths.append(write(folder, name, file.read()))
    return paths


def nginx(program, made, plumm, chain="chain.pem", login=""):
    def make(folder, port):
        cert, key = certified(made, folder, chain)
        return nginx_alone(program, folder, write(folder, "site.conf", f"""
server {{ listen 127.0.0.1:{port} ssl; server_name localhost; ssl_certificate {cert}; ssl_certificate_key {key};
location / {{ {login} proxy_pass http://{plumm}; proxy_set_header Host $http_host; }} }}
"""))

    return make


def caddy(program, made, plumm, chain="chain.pem"):
    def make(folder, port):
        cert, key = certified(made, folder, chain)
        return caddy_alone(program, folder, f"https://localhost:{port} {{\n\ttls {cert} {key}\n\treverse_proxy {plumm}\n}}\n")

    return make


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
    for name, make in [("nginx", nginx), ("caddy", caddy)]:
        program = found(unpacked, name)
        if not program:
            not_run(f"okta-check against plumm behind {name}: there is no {name} here")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o711)
            made = os.path.join(folder, "certificates")
            os.mkdir(made)
            certificates(made)
            ca = os.path.join(made, "root.pem")
            database = os.path.join(folder, "plumm.db")
            command(binary, database, "org", "create", "acme", "--activate")
            token = command(binary, database, "token", "create", "acme")["token"]
            server = Server(binary, database)
            plumm = "{}:{}".format(*server.address)

            def behind(what, *given, **more):
                return Proxy(make(program, made, *given, **more), os.path.join(folder, what))

            try:
                with behind("whole", plumm) as proxy:
                    for provider in ["okta", "entra"]:
                        answer = check(binary, proxy.port, token, ca, "--as", provider)
                        assert answer["passed"] and answer["left"] == [], failed(answer)
                        passed = [it for it in answer["steps"] if it["state"] == "ok"]
                        assert len(passed) >= 26, answer
                # Without the certificate in between.
                with behind("gap", plumm, chain="own.pem") as proxy:
                    told = failed(check(binary, proxy.port, token, ca))
                    assert list(told) == ["certificate"] and "chain is incomplete" in told["certificate"], told
                if name == "nginx":
                    # With a login of its own.
                    login = "auth_basic people; auth_basic_user_file /dev/null;"
                    with behind("login", plumm, login=login) as proxy:
                        told = failed(check(binary, proxy.port, token, ca))
                        assert "a page for people (HTML)" in told["credentials"], told
                # In front of nothing.
                with behind("nothing", f"127.0.0.1:{free_port()}") as proxy:
                    told = failed(check(binary, proxy.port, token, ca))
                    assert list(told) == ["credentials"] and "502" in told["credentials"], told
                assert not server.complaints, server.complaints
            finally:
                server.kill()
        print(f"okta-check: plumm behind {name} with TLS passes as Okta and as Entra ID, and a chain with a gap, a login and "
              f"nothing behind it are told ({time.monotonic() - begun:.0f} s)")


main()
