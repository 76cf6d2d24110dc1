"""A proxy of the host, configured as a file of deploy/ has it, for the scripts beside this file."""

import os
import shutil
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECONDS_MAX = 30


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def configured(name, replaced):
    """A file of deploy/, with these texts replaced, each of which must be there."""
    with open(os.path.join(ROOT, "deploy", name)) as file:
        text = file.read()
    for old, new in replaced.items():
        assert old in text, (name, old)
        text = text.replace(old, new)
    return text


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def found(unpacked, name):
    """The program of a proxy: as .ci/debian has unpacked it, or as the host has it; or nothing."""
    paths = os.pathsep.join([os.path.join(unpacked, "usr", it) for it in ("bin", "sbin")]
                            + [os.environ["PATH"], "/usr/sbin"])
    return shutil.which(name, path=paths)


def nginx_alone(program, folder, site):
    """nginx with this site and nothing else, which keeps all its files in this folder."""
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "".join(f"{it}_temp_path {folder}/{it};\n" for it in kinds)
    main = write(folder, "nginx.conf", f"daemon off; pid {folder}/pid; events {{}}\n"
                 f"http {{ access_log off; {temporary} include {site}; }}\n")
    return [program, "-e", "stderr", "-p", folder, "-c", main]


def caddy_alone(program, folder, site):
    """Caddy with this site and nothing else, on loopback."""
    main = write(folder, "Caddyfile", "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n}\n" + site)
    return [program, "run", "--config", main, "--adapter", "caddyfile"]


class Proxy:
    """A proxy that runs, as nobody where this is root. `make` gives its arguments for a folder and a port."""

    def __init__(self, make, folder, environment=None):
        self.port = free_port()
        os.mkdir(folder)
        arguments = make(folder, self.port)
        whose = {}
        if os.getuid() == 0:
            whose = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            for path in [folder, *(os.path.join(folder, it) for it in os.listdir(folder))]:
                shutil.chown(path, "nobody", "nogroup")
        self.log = open(os.path.join(folder, "log"), "w+")
        environment = {"PATH": os.environ["PATH"], "HOME": folder, **(environment or {})}
        self.process = subprocess.Popen(arguments, env=environment, cwd=folder, stdout=self.log,
                                        stderr=subprocess.STDOUT, **whose)

    def __enter__(self):
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def wait(self):
        begun = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                self.log.seek(0)
                assert self.process.poll() is None and time.monotonic() - begun < SECONDS_MAX, self.log.read()
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=SECONDS_MAX)
        finally:
            self.process.kill()
            self.log.close()
