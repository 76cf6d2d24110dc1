"""What the program is made of: as a bill of materials (CycloneDX 1.6), and as the licences that go with it.

    .ci/bill.py TARGET COMPILER EPOCH BILL LICENCES

TARGET is that of the program, COMPILER the C compiler whose C library it is linked with, EPOCH the time of the
commit. What only builds the program is left out. The same commit gives the same bytes.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime

target, compiler, epoch, bill, licences = sys.argv[1:]
ROOT = pathlib.Path(__file__).resolve().parent.parent


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
packages = {it["id"]: it for it in metadata["packages"]}
nodes = {it["id"]: it for it in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]
checksums = {
    (it["name"], it["version"]): it.get("checksum")
    for it in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
}


# The features of the program alone decide what is linked; `cargo metadata` counts those of the tests too.
tree = output(
    "cargo", "tree", "--locked", "--package", "plumm", "--edges", "normal,no-proc-macro", "--target", target,
    "--prefix", "none", "--format", "{p}",
)
linked = {tuple(it.split()[:2]) for it in tree.splitlines()}
found = {id for id, it in packages.items() if (it["name"], f"v{it['version']}") in linked}
assert len(found) == len(linked) and root in found, linked


def used_by(name):
    """What a package is linked with."""
    deps = nodes[name]["deps"]
    normal = {it["pkg"] for it in deps if any(kind["kind"] is None for kind in it["dep_kinds"])}
    return sorted(normal & found)


of_packages = sorted((packages[it] for it in found - {root}), key=lambda it: (it["name"], it["version"]))
plumm = packages[root]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    made = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        # Older packages wrote a slash for OR.
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
    }
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


folders = {it["name"]: pathlib.Path(it["manifest_path"]).parent for it in of_packages}
amalgamation = (folders["libsqlite3-sys"] / "sqlite3" / "sqlite3.h").read_text()
sqlite = re.search(r'^#define SQLITE_VERSION +"(.*)"$', amalgamation, re.MULTILINE)[1]
probe = "#include <gnu/libc-version.h>\n#include <features.h>\nversion __GLIBC__ __GLIBC_MINOR__\n"
probed = subprocess.run([compiler, "-E", "-P", "-"], input=probe, check=True, capture_output=True, text=True).stdout
libc = ".".join(re.search(r"^version (\d+) (\d+)$", probed, re.MULTILINE).groups())
others = [
    ("sqlite", sqlite, "blessing", f"pkg:generic/sqlite@{sqlite}"),
    ("glibc", libc, "LGPL-2.1-or-later", f"pkg:generic/glibc@{libc}"),
]
components = [component(it) for it in of_packages]
for name, version, licence, address in others:
    components.append(
        {
            "type": "library",
            "bom-ref": address,
            "name": name,
            "version": version,
            "purl": address,
            "licenses": [{"license": {"id": licence}}],
        }
    )
graph = [
    {"ref": purl(packages[name]), "dependsOn": sorted(purl(packages[it]) for it in used_by(name))}
    for name in sorted(found)
]
for it in graph:
    if it["ref"].startswith("pkg:cargo/libsqlite3-sys@"):
        it["dependsOn"].append(others[0][3])
    if it["ref"] == purl(plumm):
        it["dependsOn"].append(others[1][3])
text = json.dumps(components, sort_keys=True)
document = {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "serialNumber": f"urn:uuid:{uuid.UUID(hashlib.sha256((plumm['version'] + target + epoch + text).encode()).hexdigest()[:32], version=4)}",
    "version": 1,
    "metadata": {
        "timestamp": datetime.fromtimestamp(int(epoch), UTC).isoformat().replace("+00:00", "Z"),
        "component": {**component(plumm), "type": "application"},
        "properties": [{"name": "cargo:target", "value": target}],
    },
    "components": components,
    "dependencies": graph + [{"ref": it[3]} for it in others],
}
pathlib.Path(bill).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

# The texts of the licences, each once, with whom it is about.
texts = {}
silent = []
for package in of_packages:
    folder = pathlib.Path(package["manifest_path"]).parent
    names = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
    files = sorted(it for it in folder.iterdir() if it.is_file() and names.match(it.name) and it.suffix != ".rs")
    if not files:
        silent.append(package)
    for file in files:
        words = file.read_text(errors="replace").strip()
        texts.setdefault(" ".join(words.split()), (words, []))[1].append(f"{package['name']} {package['version']}")
lines = ["What plumm is made of, and the licences of it.", ""]
for package in of_packages:
    lines.append(f"{package['name']} {package['version']}: {package['license']}")
lines.append(f"SQLite {sqlite}: public domain")
lines += [
    f"GNU C Library {libc}: LGPL-2.1-or-later, https://www.gnu.org/software/libc/. The program of the image is linked",
    "with it statically; the source of plumm is all that is needed to link it with another version.",
]
if silent:
    lines += ["", "These bring no text of their own; that of a licence they name stands below:"]
    lines += [f"  {it['name']} {it['version']}: {it['license']}" for it in silent]
for words, of in texts.values():
    lines += ["", "=" * 100, *[f"Of {it}" for it in sorted(set(of))], "", words]
pathlib.Path(licences).write_text("\n".join(lines) + "\n")
print(f"{bill}: {len(components)} components; {licences}: {len(texts)} texts, {len(silent)} packages without one")
