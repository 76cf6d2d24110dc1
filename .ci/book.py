"""Between the documents of the repository and the site that mdBook makes of them.

    book.py pages DOCS FOLDER    gathers the documents, and what they link to outside, in FOLDER
    book.py links FOLDER         says which links of the site lead nowhere

A link to a file beside the documents, such as `../deploy/plumm.service`, would lead out of the site. Such files come
along, below `repository/`, and links to them are changed; Markdown among them becomes a page when SUMMARY.md has it.
"""

import html.parser
import os
import posixpath
import re
import shutil
import sys
import urllib.parse

# What a link begins with that leads to another host.
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")
LINK = re.compile(r"(\]\(|^\[[^\]]+\]: )([^)\s]+)", re.M)
OUTSIDE = "repository"


def files(folder):
    for path, folders, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(path, name), folder)


def gather(docs, folder):
    """Every document with its links changed, and the files that they lead to."""
    shutil.rmtree(folder, ignore_errors=True)
    docs = os.path.normpath(docs)
    root = os.path.dirname(os.path.abspath(docs))
    name = os.path.basename(docs)
    left = [posixpath.join(name, it) for it in files(docs) if it not in ("book.toml", "site.css")]
    done = set(left)

    def place(path):
        """Where a file of the repository is in the site: what a folder begins with is called so there."""
        inside = path.startswith(name + "/")
        path = path[len(name) + 1:] if inside else posixpath.join(OUTSIDE, path)
        return re.sub(r"(^|/)README\.md$", r"\1index.md", path)

    while left:
        path = left.pop()
        source, target = os.path.join(root, path), os.path.join(folder, place(path))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not path.endswith(".md"):
            shutil.copyfile(source, target)
            continue

        def changed(found):
            lead, link = found.groups()
            there, hash_mark, heading = link.partition("#")
            if not there or ELSEWHERE.match(link):
                return found.group(0)
            to = posixpath.normpath(posixpath.join(posixpath.dirname(path), there))
            at = os.path.join(root, to)
            if os.path.isdir(at):
                raise SystemExit(f"{path}: {link} leads to a folder, which is no page of a site: name a file")
            if not os.path.exists(at):
                raise SystemExit(f"{path}: {link} leads nowhere")
            if to not in done:
                done.add(to)
                left.append(to)
            return lead + posixpath.relpath(place(to), posixpath.dirname(place(path)) or ".") + hash_mark + heading

        with open(source, encoding="utf-8") as file:
            # Code has no links: what stands between fences and backticks stays.
            parts = re.split(r"(^```.*?^```|`[^`\n]+`)", file.read(), flags=re.M | re.S)
        parts[::2] = [LINK.sub(changed, it) for it in parts[::2]]
        with open(target, "w", encoding="utf-8") as file:
            file.write("".join(parts))


class Page(html.parser.HTMLParser):
    """What a page of the site links to, and what can be linked to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.add(value)
            if name in ("id", "name") and value:
                self.names.add(value)


def check(folder):
    """The links of a site that lead nowhere, one sentence each."""
    pages = {}
    for path in files(folder):
        if path.endswith(".html"):
            with open(os.path.join(folder, path), encoding="utf-8") as file:
                pages[path] = Page(file.read())
    faults, links = [], 0
    for path, page in sorted(pages.items()):
        for link in sorted(page.links):
            if ELSEWHERE.match(link):
                # Scripts, styles and pictures of others would tell them who reads.
                continue
            links += 1
            there, _, heading = link.partition("#")
            to = posixpath.normpath(posixpath.join(posixpath.dirname(path), urllib.parse.unquote(there))) if there else path
            if path == "404.html":
                to = to.lstrip("/") or "index.html"
            if to == "." or os.path.isdir(os.path.join(folder, to)):
                to = posixpath.normpath(posixpath.join(to, "index.html"))
            if not os.path.exists(os.path.join(folder, to)):
                faults.append(f"{path}: {link} leads nowhere")
            elif heading and to in pages and urllib.parse.unquote(heading) not in pages[to].names:
                faults.append(f"{path}: {link} leads to no heading")
    return faults, links, pages


def main():
    match sys.argv[1:]:
        case ["pages", docs, folder]:
            gather(docs, folder)
        case ["links", folder]:
            faults, links, pages = check(folder)
            if faults:
                raise SystemExit("\n".join(faults))
            assert len(pages) > 30 and links > 1000, (len(pages), links)
            print(f"the site has {len(pages)} pages, and each of their {links} links leads somewhere")
        case _:
            raise SystemExit(__doc__)


main()
