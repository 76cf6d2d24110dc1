// Backups: a snapshot to take away, and those that the server makes by itself.

import { download, get } from "./ask.js";
import { at, bytes, card, count, empty, h, note, problem, say, table, time } from "./make.js";

export async function backup({ content, signal }) {
  const draw = async () => {
    const it = await get("backup", {}, signal);
    content.replaceChildren(
      it.failed ? note("problem", "wrong", h("p", null, "No backup has been made since ",
        time(it.failed.since), `: ${it.failed.reason}`)) : "",
      card("Snapshot", h("p", null, "The whole database as it is now, in one file: people, groups, ",
        "the record of changes, settings, and tokens as hashes only. The server checks the file before it sends it."),
      it.snapshot.available ? snapshot(it, signal) : note("note", "wrong", h("p", null, it.snapshot.reason)),
      h("p", { class: "hint" }, "Whoever has the file has the data of everybody in it: keep it as safe as the server. ",
        h("code", null, "plumm check FILE"), " looks at it again, ", h("code", null, "plumm restore FILE"),
        " brings it back.")),
      h("h2", null, "Made by the server"), h("div", null, rotated(it)));
  };
  await draw();
}

function snapshot(it, signal) {
  const told = h("div", { role: "status" });
  const bar = h("progress", { "aria-label": "Downloaded" });
  const words = h("span", { class: "hint" });
  const button = h("button", { type: "button", class: "main", onclick: async () => {
    button.disabled = true;
    bar.removeAttribute("value");
    words.textContent = "The snapshot is made and checked…";
    told.replaceChildren(h("div", { class: "under-way" }, bar, words));
    try {
      const come = await download("POST", "backup/snapshot", {}, "plumm.db", (part, all) => {
        if (all) Object.assign(bar, { max: all, value: part });
        words.textContent = all ? `${bytes(part)} of ${bytes(all)}` : bytes(part);
      }, signal);
      told.replaceChildren(note("note", "tick", h("p", null, `Downloaded and whole: ${bytes(come)}.`)));
      say("The snapshot is downloaded");
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) return;
      told.replaceChildren(problem(error));
    } finally {
      button.disabled = false;
    }
  } }, "Download snapshot");
  return [h("p", { class: "buttons" }, button,
    h("span", { class: "hint" }, `About ${bytes(it.snapshot.bytes)}.`)), told];
}

function rotated({ rotation, made }) {
  const last = made ? h("p", null, "The last backup was made ", time(made.time), `, ${bytes(made.bytes)}.`) : "";
  if (!rotation) {
    return [last, empty("This server makes no backups by itself. Whoever runs it starts it with ",
      h("code", null, "plumm serve --backup-dir DIR"), " to have one made every day.")];
  }
  const rule = h("p", { class: "hint" }, `One every ${count(rotation.everyHours, "hour", "hours")}; ` +
    `the newest ${rotation.keep} are kept, in a folder of the host.`);
  return [last, rule, rotation.problem ? problem({ message: rotation.problem }) : "",
    rotation.entries.length > 0
      ? table("Backups", ["File", "Made", "Size"], rotation.entries.map((it) =>
        [h("code", null, it.name), at(it.time), bytes(it.bytes)]))
      : empty("None has been made yet. The first comes by itself; until then, download a snapshot.")];
}
