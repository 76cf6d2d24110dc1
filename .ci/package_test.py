"""What an operator does with the packages of target/dist/, in a clean Debian without systemd at work.

    .ci/package_test.py ROOT.tar

Run in namespaces of its own, as root: mounts, network and processes (.ci/package-test).
"""

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent.parent
DIST = HERE / "target" / "dist"
PATIENCE = 30
CHROOT = shutil.which("chroot")
archive = sys.argv[1]
passed = 0


def ok(what, true=True):
    global passed
    if not true:
        sys.exit(f"FAILED: {what}")
    passed += 1
    print(f"ok    {what}", flush=True)


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS with IFF_UP
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))


class Root:
    """A folder to be changed to."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def path(self, name):
        return self.folder / name.lstrip("/")

    def run(self, *command, user=None, code=0, env=None):
        before = ["runuser", "-u", user, "--"] if user else []
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            [CHROOT, self.folder, *before, *command],
            capture_output=True, text=True, env={**environment, **(env or {})}, timeout=300, check=False,
        )
        if code is not None and done.returncode != code:
            sys.exit(f"FAILED: {command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def serve(self, *command, env=None):
        """A server and where it listens; `command` runs in the root."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})}
        child = subprocess.Popen([CHROOT, *command], stderr=subprocess.PIPE, text=True, env=environment)
        log = ""
        for line in child.stderr:
            log += line
            if found := re.search(r"listening on (https?://\S+)", line):
                # Nobody reads the rest, and it is little.
                return child, found[1]
        sys.exit(f"FAILED: {command} ended before it listened\n{log}")

    def serve_as_plumm(self):
        uid, gid = self.plumm()
        # As runuser would, which hands no signal on.
        return self.serve(f"--userspec={uid}:{gid}", self.folder, "plumm", "serve")

    def plumm(self):
        """The numbers of the user plumm."""
        return re.search(r"^plumm:x:(\d+):(\d+):", self.path("/etc/passwd").read_text(), re.MULTILINE).groups()

    def mode(self, name):
        status = self.path(name).stat()
        return f"{status.st_mode & 0o7777:04o} {status.st_uid}:{status.st_gid}"


def end(child):
    child.send_signal(signal.SIGTERM)
    ok("the server ends by itself", child.wait(PATIENCE) == 0)


def ask(method, url, token=None, body=None):
    headers = {"Content-Type": "application/scim+json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=PATIENCE) as it:
            return it.status, json.load(it)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


MARA = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "mara.novak@example.com",
    "name": {"givenName": "Mara", "familyName": "Novak"},
    "emails": [{"primary": True, "value": "mara.novak@example.com"}],
    "active": True,
}


def provision(url, token):
    status, made = ask("POST", f"{url}/scim/v2/Users", token, MARA)
    ok(f"a user is provisioned: {made.get('id')}", status == 201)


def knows_mara(url, token):
    status, listed = ask("GET", f"{url}/scim/v2/Users", token)
    ok("the user is still there", status == 200 and listed["totalResults"] == 1)


def unpacked(name):
    root = Root(work / name)
    root.folder.mkdir()
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", root.folder, "--exclude", "./dev/*"], check=True)
    mount_system(root)
    return root


def mount_system(root):
    """What every system has, and every container."""
    for name in ("null", "zero", "urandom", "random"):
        target = root.path(f"/dev/{name}")
        target.parent.mkdir(exist_ok=True)
        target.touch()
        subprocess.run(["mount", "--bind", f"/dev/{name}", target], check=True)
    root.path("/proc").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "proc", "proc", root.path("/proc")], check=True)


def older(package):
    """The same package, of a version before."""
    folder = work / "older"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = (folder / "DEBIAN" / "control")
    control.write_text(re.sub(r"^Version: .*$", "Version: 0.0.1", control.read_text(), flags=re.MULTILINE))
    # Its settings differ, as those of a version before may.
    settings = folder / "etc" / "plumm" / "plumm.env"
    settings.write_text(settings.read_text() + "\n# A line that the next version does not have.\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", folder, work / "older.deb"], check=True, capture_output=True)
    return work / "older.deb"


def test_deb(package):
    root = unpacked("deb")
    shutil.copy(older(package), root.path("/tmp/older.deb"))
    shutil.copy(package, root.path("/tmp/plumm.deb"))
    units = root.path("/run/systemd/system")
    ok("systemd does not run there", not units.exists())

    told = root.run("dpkg", "--install", "/tmp/older.deb")
    ok("the next steps are told", "plumm org create acme --activate" in told and "systemd does not run here" in told)
    version = re.search(r"^Version: (.*)$", subprocess.run(
        ["dpkg-deb", "--info", package], check=True, capture_output=True, text=True).stdout.replace(" Version", "Version"), re.MULTILINE)[1]
    ok("plumm --version", root.run("plumm", "--version") == f"plumm {version}\n")
    user = re.search(r"^plumm:x:(\d+):(\d+):.*:/var/lib/plumm:/usr/sbin/nologin$", root.path("/etc/passwd").read_text(), re.MULTILINE)
    ok("there is a user plumm", user)
    owner = f"{user[1]}:{user[2]}"
    for name, mode in [
        ("/usr/bin/plumm", "0755 0:0"),
        ("/etc/plumm", "0755 0:0"),
        ("/etc/plumm/plumm.env", "0644 0:0"),
        ("/usr/lib/systemd/system/plumm.service", "0644 0:0"),
        ("/usr/share/doc/plumm/copyright", "0644 0:0"),
        ("/usr/share/doc/plumm/examples/nginx-auth.conf", "0644 0:0"),
        ("/usr/share/doc/plumm/examples/plumm.socket", "0644 0:0"),
        ("/var/lib/plumm", f"0700 {owner}"),
    ]:
        ok(f"{name} is {mode}", root.mode(name) == mode)
    for name in (
        "man/man1/plumm.1.gz", "man/man1/plumm-user-purge.1.gz", "bash-completion/completions/plumm",
        "zsh/vendor-completions/_plumm", "fish/vendor_completions.d/plumm.fish",
    ):
        ok(f"/usr/share/{name} is there", root.mode(f"/usr/share/{name}") == "0644 0:0")
    enabled = root.path("/etc/systemd/system/multi-user.target.wants/plumm.service")
    ok("the service is enabled for when systemd runs", enabled.is_symlink())

    settings = root.path("/etc/plumm/plumm.env")
    settings.write_text(settings.read_text() + "PLUMM_LISTEN=127.0.0.1:8181\n")
    child, url = root.serve_as_plumm()
    ok("it listens where the settings say", url == "http://127.0.0.1:8181")
    root.run("plumm", "org", "create", "acme", "--activate", user="plumm")
    token = json.loads(root.run("plumm", "token", "create", "acme", "--json", user="plumm"))["token"]
    provision(url, token)
    ok("plumm healthcheck", "is ready" in root.run("plumm", "healthcheck"))
    database = f"0600 {owner}"
    ok(f"the database is {database}", root.mode("/var/lib/plumm/plumm.db") == database)
    end(child)

    # Both the operator and the package have changed the file: dpkg keeps that of the operator.
    before = settings.read_text()
    root.run("dpkg", "--force-confold", "--install", "/tmp/plumm.deb")
    ok("an upgrade keeps the settings", settings.read_text() == before)
    ok("and the enabled service", enabled.is_symlink())
    child, url = root.serve_as_plumm()
    knows_mara(url, token)
    end(child)
    for name in ("/usr/share/doc/plumm/CHANGELOG.md.gz", "/usr/share/doc/plumm/licences-of-others.txt.gz"):
        ok(f"{name} is there", root.path(name).stat().st_size > 100)

    if shutil.which("systemd-analyze"):
        judge_units(root)
    if shutil.which("lintian"):
        told = subprocess.run(
            ["lintian", "--allow-root", "--tag-display-limit=0", package], capture_output=True, text=True, check=False)
        for line in (told.stdout + told.stderr).splitlines():
            print(f"      lintian: {line}")
        ok("lintian finds no error", not re.search(r"^E:", told.stdout, re.MULTILINE))

    root.run("dpkg", "--remove", "plumm")
    ok("a removal keeps settings and data",
       settings.exists() and root.path("/var/lib/plumm/plumm.db").exists() and not root.path("/usr/bin/plumm").exists())
    root.run("dpkg", "--install", "/tmp/plumm.deb")
    ok("an installation after it goes on with both", settings.read_text() == before)
    child, url = root.serve_as_plumm()
    knows_mara(url, token)
    end(child)

    told = root.run("dpkg", "--purge", "plumm")
    ok("a purge that nobody can be asked about keeps the data, and says so",
       root.path("/var/lib/plumm/plumm.db").exists() and "the database stays in /var/lib/plumm" in told)
    ok("it takes the settings along, and the service",
       not root.path("/etc/plumm").exists() and not enabled.is_symlink() and not enabled.exists())
    root.run("dpkg", "--install", "/tmp/plumm.deb")
    subprocess.run([CHROOT, root.folder, "debconf-set-selections"], input="plumm plumm/purge_data boolean true\n", text=True, check=True)
    root.run("dpkg", "--purge", "plumm")
    ok("a purge that is told so removes the data and the user",
       not root.path("/var/lib/plumm").exists() and "plumm:" not in root.path("/etc/passwd").read_text())
    left = root.run("find", "/etc", "/usr", "/var/lib/systemd", "-name", "*plumm*")
    ok(f"nothing is left {left.split()}", not left.split())


def documented(heading):
    """The commands below a heading of docs/install.md."""
    text = (HERE / "docs" / "install.md").read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [it.strip().splitlines() for it in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def test_page(package):
    """docs/install.md as it stands, from a system that has never had plumm to the first user, with times."""
    root = unpacked("page")
    shutil.copy(package, root.path("/root"))
    [[install, *commands]] = documented("Debian, Ubuntu")
    begun = time.monotonic()

    def typed(line):
        since = time.monotonic()
        told = root.run("sh", "-c", f"cd /root && {line}")
        print(f"      {time.monotonic() - since:5.1f} s  {line}")
        return told

    typed(install)
    child, url = root.serve_as_plumm()
    token = re.search(r"plm_\w+", "".join(typed(it) for it in commands))[0]
    provision(url, token)
    took = time.monotonic() - begun
    ok(f"from an empty Debian to a provisioned user by docs/install.md in {took:.1f} s", took < 60)
    end(child)


def test_by_hand(package):
    """The same without a package: the archive, and what docs/install.md says about a service."""
    root = unpacked("by-hand")
    folder = root.path("/root/plumm")
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--file", package, "--directory", folder, "--strip-components=1"], check=True)
    service, organisation = documented("As a service")
    ok("the last step is systemd's", service[-1].startswith("systemctl daemon-reload"))
    root.run("sh", "-ec", "\n".join(["cd /root/plumm", *service[:-1]]))
    # Of systemd: StateDirectory.
    root.run("install", "-d", "-o", "plumm", "-g", "plumm", "-m", "700", "/var/lib/plumm")
    child, url = root.serve_as_plumm()
    # sudo is not there, and runuser does the same.
    made = root.run("sh", "-ec", "\n".join(it.replace("sudo -u plumm", "runuser -u plumm --") for it in organisation))
    provision(url, re.search(r"plm_\w+", made)[0])
    ok("the database is where the file of settings says", root.mode("/var/lib/plumm/plumm.db").startswith("0600 "))
    end(child)


def judge_units(root):
    units = work / "units"
    units.mkdir()
    service = root.path("/usr/lib/systemd/system/plumm.service").read_text()
    # It looks for the program on this host.
    (units / "plumm.service").write_text(service.replace("/usr/bin/plumm ", "/bin/true "))
    shutil.copy(root.path("/usr/share/doc/plumm/examples/plumm.socket"), units / "plumm.socket")

    def analyze(*words):
        done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    for unit in ("plumm.service", "plumm.socket"):
        said = analyze("verify", "--man=no", str(units / unit))
        ok(f"systemd-analyze verify {unit} {said}", not said)
    said = analyze("security", "--offline=true", str(units / "plumm.service"))
    exposure = re.search(r"exposure level for plumm.service: ([\d.]+)", said)
    ok(f"systemd-analyze security: {exposure and exposure[1]} of 10", exposure and float(exposure[1]) <= 1.2)


def test_rpm(package):
    root = unpacked("rpm")
    rpm = ["rpm", "--root", str(root.folder), "--dbpath", "/var/lib/rpm", "--nodeps"]

    def run(*command):
        done = subprocess.run([*rpm, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"FAILED: rpm {command}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    told = run("--install", str(package))
    ok("the .rpm is installed, and tells the next steps", "systemctl enable --now plumm" in told)
    ok("its folder is the user's alone", root.mode("/var/lib/plumm") == "0700 {}:{}".format(*root.plumm()))
    child, url = root.serve_as_plumm()
    root.run("plumm", "org", "create", "acme", "--activate", user="plumm")
    provision(url, json.loads(root.run("plumm", "token", "create", "acme", "--json", user="plumm"))["token"])
    end(child)
    settings = root.path("/etc/plumm/plumm.env")
    settings.write_text(settings.read_text() + "PLUMM_LOG=debug\n")
    told = run("--erase", "plumm")
    ok("a removal keeps data and changed settings, and says so",
       root.path("/var/lib/plumm/plumm.db").exists() and root.path("/etc/plumm/plumm.env.rpmsave").exists()
       and not root.path("/usr/bin/plumm").exists() and "the database stays in /var/lib/plumm" in told)


def test_archive(package):
    folder = work / "archive"
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--file", package, "--directory", folder], check=True)
    inside = next(folder.iterdir())
    for name in ("plumm", "LICENSE-MIT", "LICENSE-APACHE", "licences-of-others.txt", "README.md", "deploy/plumm.service"):
        ok(f"the archive has {name}", (inside / name).stat().st_size > 100)


def build_image(root):
    buildah = [
        "buildah", "--root", work / "images", "--runroot", work / "images-run", "--storage-driver", "vfs",
    ]

    def run(*command):
        done = subprocess.run([*buildah, *command], capture_output=True, text=True, check=False)
        ok(f"buildah {command[0]} {done.stderr if done.returncode else ''}", done.returncode == 0)
        return done.stdout.strip()

    run("build", "--isolation", "chroot", "--format", "docker", "--file", HERE / "Containerfile",
        "--tag", "localhost/plumm:ci", DIST / "image")
    mounted = run("mount", run("from", "localhost/plumm:ci"))
    subprocess.run(["cp", "--archive", f"{mounted}/.", root.folder], check=True)
    root.folder.chmod(0o755)
    ok("the folder of the data is the user's", root.mode("/data").endswith(" 65532:65532"))


def lay_out_image(root, steps):
    for step in steps:
        words = step.replace("${TARGETARCH}", "amd64").split()
        flags = dict(it.removeprefix("--").split("=") for it in words if it.startswith("--"))
        source, target = (it for it in words if not it.startswith("--"))
        source, path = DIST / "image" / source, root.path(target)
        if source.is_dir():
            shutil.copytree(source, path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path)
        for it in [path, *path.rglob("*")]:
            if "chmod" in flags:
                it.chmod(int(flags["chmod"], 8))
            os.chown(it, *map(int, flags.get("chown", "0:0").split(":")))


def test_image():
    """The image, run as its user. Without a builder its files are laid out by the lines of Containerfile."""
    lines = (HERE / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [it.split(maxsplit=1) for it in lines if it and not it.startswith("#")]
    said = {}
    for name, rest in steps:
        said.setdefault(name, []).append(rest)
    ok("the image is made from nothing, for a user who is nobody else",
       said["FROM"] == ["scratch"] and said["USER"] == ["65532:65532"] and said["VOLUME"] == ["/data"])
    root = Root(work / "image")
    root.folder.mkdir()
    if shutil.which("buildah"):
        build_image(root)
    else:
        lay_out_image(root, said["COPY"])
    mount_system(root)
    environment = dict(it.split("=", 1) for it in said["ENV"][0].split())
    command = [*json.loads(said["ENTRYPOINT"][0]), *json.loads(said["CMD"][0])]
    check = json.loads(said["HEALTHCHECK"][0].split("CMD ")[1])
    as_user = [f"--userspec={said['USER'][0]}", str(root.folder)]

    def run(*words):
        return subprocess.run(
            [CHROOT, *as_user, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)

    ok("the health check fails without a server", run(*check).returncode == 1)
    refused = run(*command)
    ok("it refuses plain HTTP that nobody has allowed", refused.returncode == 2 and "--insecure-http" in refused.stderr)
    child, _ = root.serve(*as_user, *command, env={**environment, "PLUMM_INSECURE_HTTP": "1"})
    made = run("/usr/bin/plumm", "org", "create", "acme", "--activate")
    ok(f"an organisation is made in an empty root {made.stderr}", made.returncode == 0)
    provision("http://127.0.0.1:8080", json.loads(run("/usr/bin/plumm", "token", "create", "acme", "--json").stdout)["token"])
    ok("the health check is content", run(*check).returncode == 0)
    ok("the data is the user's alone", root.mode("/data/plumm.db") == "0600 65532:65532")
    # A receiver of webhooks that is called by a name: the static program looks it up by itself.
    looked = run("/usr/bin/plumm", "healthcheck", "--url", "http://nowhere.invalid:9")
    ok(f"a name that nobody has is an error: {looked.stderr.strip()}", looked.returncode == 1 and "nowhere.invalid" in looked.stderr)
    root.path("/etc/hosts").write_text("127.0.0.1 named.example\n")
    ok("a name is looked up", run("/usr/bin/plumm", "healthcheck", "--url", "http://named.example:8080").returncode == 0)
    end(child)


started = time.monotonic()
loopback_up()
work = pathlib.Path(tempfile.mkdtemp(dir=HERE / "target"))
try:
    # What is mounted there, and below, is gone with this process; the folder is not.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", work], check=True)
    check = ["sha256sum", "--check", "--ignore-missing", "--quiet", "SHA256SUMS"]
    ok("the files are those of SHA256SUMS", subprocess.run(check, cwd=DIST, check=False).returncode == 0)
    test_deb(next(DIST.glob("plumm_*_amd64.deb")))
    test_page(next(DIST.glob("plumm_*_amd64.deb")))
    if shutil.which("rpm") and (found := list(DIST.glob("*.x86_64.rpm"))):
        test_rpm(found[0])
    test_archive(next(DIST.glob("*-x86_64-linux.tar.gz")))
    test_by_hand(next(DIST.glob("*-x86_64-linux.tar.gz")))
    test_image()
finally:
    subprocess.run(["umount", "--recursive", "--lazy", work], check=False)
    work.rmdir()
print(f"{passed} passed, 0 failed ({time.monotonic() - started:.0f} s)")
