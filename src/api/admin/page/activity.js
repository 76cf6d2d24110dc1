// What happened: changes and refusals as one story, which goes on while one looks.

import { get } from "./ask.js";
import { empty, field, h, moment, select, time } from "./make.js";

const KINDS = [["", "Everything"], ["users", "Users"], ["groups", "Groups"], ["tokens", "Tokens"],
  ["webhooks", "Webhooks"], ["settings", "Settings"]];
const OUTCOMES = [["", "Done and refused"], ["done", "Done"], ["refused", "Refused"]];
const TYPE_WAIT = 200;
const WAIT_SECONDS = 25;
const PAUSES = [1_000, 2_000, 5_000, 10_000];
const CSV_ROWS_MAX = 100_000;

export const pause = (milliseconds, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, milliseconds);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    failed(new DOMException("left", "AbortError"));
  });
});

const VERBS = { created: "created", updated: "changed", deleted: "deleted", restored: "restored",
  purged: "erased for good", "members changed": "changed the members of",
  deactivated: "deactivated", reactivated: "reactivated", activated: "activated",
  revoked: "revoked", added: "added", removed: "removed", renamed: "renamed" };

export function by(who) {
  if (who.kind === "token") return who.label || `token ${who.id}`;
  const sudo = who.sudo ? ` (sudo by ${who.sudo})` : "";
  return who.user ? `a command of ${who.user}${sudo}` : "a command";
}

function about(it) {
  const places = { User: "users", Group: "groups" };
  const text = it.name ?? it.resource ?? "";
  const kind = it.resourceType === "User" ? "" : `${kindName(it.resourceType)} `;
  const place = places[it.resourceType];
  return [kind, place && it.resource
    ? h("a", { href: `#${place}/${encodeURIComponent(it.resource)}` }, text)
    : text];
}

function kindName(type) {
  const names = { Organization: "the organisation", Token: "the token", Webhook: "the webhook",
    Group: "the group", Schema: "the schema", ResourceType: "the resource type" };
  return names[type] ?? (type ? `the ${type}` : "");
}

const shown = (value) => {
  if (value === null || value === undefined || value === "") return "nothing";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
};

function changed(changes) {
  const lines = Object.entries(changes ?? {}).filter(([name]) => name !== "schemas" && name !== "id");
  if (lines.length === 0) return null;
  const line = ([name, it]) => {
    const has = it !== null && typeof it === "object";
    const parts = has && ("after" in it || "before" in it)
      ? [h("del", null, shown(it.before)), " → ", h("ins", null, shown(it.after))]
      : [shown(it)];
    return [h("dt", null, name), h("dd", null, parts)];
  };
  return h("details", null, h("summary", null, `What changed (${lines.length})`),
    h("dl", { class: "changes" }, lines.map(line)));
}

// One thing that happened, as an item of a list.
export function entry(it) {
  if (it.kind === "refusal") {
    const often = it.count > 1 && ` ${it.count} times since ${moment(it.first)}`;
    const name = it.name && [" about ",
      it.resource && it.resourceType === "User"
        ? h("a", { href: `#users/${encodeURIComponent(it.resource)}` }, it.name) : it.name];
    return h("li", { class: "refused" },
      h("div", { class: "head" }, h("span", { class: "badge" }, "Refused"), " ",
        h("strong", null, by(it.by)), name, often, " ", time(it.time)),
      h("p", null, it.detail),
      h("p", { class: "hint" }, `${it.method} ${it.path} was answered ${it.status}`,
        it.scimType && ` ${it.scimType}`, it.client && `, asked from ${it.client}`,
        it.request && `, request ${it.request}`));
  }
  return h("li", null,
    h("div", { class: "head" }, h("strong", null, by(it.by)), ` ${VERBS[it.action] ?? it.action} `,
      about(it), " ", time(it.time)),
    it.reason && h("p", null, `Reason: ${it.reason}`),
    changed(it.changed));
}

export async function activity({ content, signal }) {
  const asked = { user: "", kind: "", outcome: "" };
  const list = h("ul", { class: "story" });
  const below = h("div", { class: "below" });
  const live = h("span", { class: "live" }, "Live");
  let shownNow = new AbortController();
  signal.addEventListener("abort", () => shownNow.abort());

  const older = async (before, within) => {
    below.replaceChildren(h("span", { class: "hint" }, "Looking further back…"));
    const page = await get("activity", { ...asked, before }, within);
    if (within.aborted) return page;
    list.append(...page.entries.map(entry));
    const more = page.next && h("button", { type: "button",
      onclick: () => older(page.next, within).catch(() => {}) }, "Show older");
    const none = list.children.length === 0 && !page.next;
    const far = page.entries.length === 0 && page.next
      && h("span", { class: "hint" }, "Nothing back to ", time(page.reached), ". ");
    below.replaceChildren(...[far, more, none && nothing()].filter(Boolean));
    return page;
  };
  const nothing = () => (asked.user || asked.kind || asked.outcome
    ? empty("Nothing that plumm still knows of fits these filters.")
    : empty("Nothing has happened yet. ", h("a", { href: "#setup" }, "Set up Okta"), " is next."));

  // What happens from now on comes to the top.
  const follow = async (place, within) => {
    let failed = 0;
    while (!within.aborted) {
      try {
        const news = await get("activity",
          { ...asked, after: place, wait: failed > 0 ? 0 : WAIT_SECONDS }, within);
        place = news.newest;
        if (failed > 0) live.replaceChildren("Live");
        live.classList.remove("lost");
        failed = 0;
        if (news.entries.length > 0) below.querySelector(".empty")?.remove();
        for (const it of news.entries) {
          const item = entry(it);
          item.classList.add("new");
          list.prepend(item);
        }
      } catch (error) {
        if (within.aborted || error.status === 401) return;
        live.replaceChildren("The server does not answer; trying again");
        live.classList.add("lost");
        await pause(PAUSES[Math.min(failed, PAUSES.length - 1)], within).catch(() => {});
        failed += 1;
      }
    }
  };

  const restart = async () => {
    shownNow.abort();
    shownNow = new AbortController();
    const within = shownNow.signal;
    list.replaceChildren();
    const page = await older(undefined, within);
    follow(page.newest, within);
  };
  let timer;
  const user = h("input", { type: "search", autocomplete: "off", spellcheck: "false",
    placeholder: "Username or id", oninput: (event) => {
      clearTimeout(timer);
      asked.user = event.target.value.trim();
      timer = setTimeout(() => restart().catch(() => {}), TYPE_WAIT);
    } });
  const filter = (name) => (value) => {
    asked[name] = value;
    restart().catch(() => {});
  };
  const csv = h("button", { type: "button" }, "Download CSV");
  csv.addEventListener("click", async () => {
    csv.disabled = true;
    try {
      await download(asked, signal, (rows) => { csv.textContent = `${rows} rows…`; });
    } finally {
      csv.disabled = false;
      csv.textContent = "Download CSV";
    }
  });
  content.append(
    h("div", { class: "filters", role: "search" }, field("Person", user),
      field("Kind", select(KINDS, "", filter("kind"))),
      field("Outcome", select(OUTCOMES, "", filter("outcome"))), csv, live),
    list, below);
  await restart();
}

// The story as it is filtered, as a table for spreadsheets.
async function download(asked, signal, tell) {
  const rows = [["time", "who", "client", "action", "about", "status", "text"]];
  let before;
  do {
    const page = await get("activity", { ...asked, before, limit: 100 }, signal);
    for (const it of page.entries) {
      rows.push([it.time, by(it.by), it.client, it.action, it.name ?? it.resource, it.status,
        it.detail ?? it.text]);
    }
    tell(rows.length - 1);
    before = page.next;
  } while (before && rows.length < CSV_ROWS_MAX);
  const text = rows.map((row) => row.map(cell).join(",")).join("\r\n");
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })),
    download: "plumm-activity.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

// A cell that no spreadsheet takes for a formula.
function cell(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
