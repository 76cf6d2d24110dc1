// People: found as one types, and one of them.

import { by, entry } from "./activity.js";
import { get, post } from "./ask.js";
import { confirmed, empty, field, h, moment, problem, say, select, table, time } from "./make.js";

const STATES = [["all", "Everybody"], ["inactive", "May not log in"], ["deleted", "Deleted"]];
const TYPE_WAIT = 120;
const SEARCHED = 100;

// A list that is searched as one types; `rows` makes a table of entries.
export async function searched({ content, signal, path, states, rows, none }) {
  const asked = { search: "", state: states ? "all" : "" };
  const found = h("div");
  const below = h("div", { class: "below" });
  let entries = [];
  let latest = 0;
  const load = async (after) => {
    const turn = ++latest;
    const searching = asked.search !== "";
    const page = await get(path,
      { ...asked, after, limit: searching ? SEARCHED : undefined }, signal);
    // An answer to what was typed before is old.
    if (turn !== latest) return;
    entries = after ? [...entries, ...page.entries] : page.entries;
    found.replaceChildren(entries.length > 0 ? rows(entries) : none(asked));
    const more = page.next && h("button", { type: "button",
      onclick: () => load(page.next).catch(failed) }, "Show more");
    const many = !page.next && page.more
      && h("p", { class: "hint" }, `The first ${entries.length} are shown: type more to find others.`);
    const some = !page.complete
      && h("p", { class: "hint" }, "Not every name could be looked at: type the beginning of one.");
    below.replaceChildren(...[more, many, some].filter(Boolean));
    if (searching) say(`${entries.length} found`);
  };
  const failed = (error) => {
    if (!signal.aborted && error.status !== 401) below.replaceChildren(problem(error));
  };
  let timer;
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false",
    oninput: (event) => {
      clearTimeout(timer);
      asked.search = event.target.value.trim();
      timer = setTimeout(() => load().catch(failed), TYPE_WAIT);
    } });
  const choose = (value) => {
    asked.state = value;
    load().catch(failed);
  };
  content.append(h("div", { class: "filters", role: "search" }, field("Search", search),
    states && field("Show", select(states, "all", choose))), found, below);
  await load();
}

const state = (it) => {
  if (it.deleted) return h("span", { class: "state off" }, "Deleted");
  return it.active ? h("span", { class: "state on" }, "May log in")
    : h("span", { class: "state off" }, "May not log in");
};

export const people = ({ content, signal }) => searched({ content, signal, path: "users",
  states: STATES,
  rows: (entries) => table("Users", ["Username", "Name", "State", "Last changed"],
    entries.map((it) => [h("a", { href: `#users/${encodeURIComponent(it.id)}` }, it.userName),
      it.displayName, state(it), time(it.lastModified)])),
  none: (asked) => (asked.search
    ? empty("Nobody has these words in a name, username or e-mail address.")
    : asked.state === "all"
      ? empty("There is nobody yet. ", h("a", { href: "#setup" }, "Set up Okta"),
        " says how people get here.")
      : empty("There is nobody of these.")) });

export async function person({ content, signal, name, id }) {
  const draw = (it, note) => {
    name(it.userName);
    const may = it.mayLogIn
      ? h("p", { class: "standing on" }, "May log in.")
      : h("p", { class: "standing off" }, `May not log in: ${because(it)}.`);
    content.replaceChildren(may,
      note ? h("div", { class: "note", role: "status" }, h("p", null, note)) : "",
      it.deleted ? "" : h("p", null, change(it)),
      h("h2", null, "Profile"), profile(it),
      h("h2", null, "Groups"), it.groups.length > 0
        ? h("ul", null, it.groups.map((group) => h("li", null,
          h("a", { href: `#groups/${encodeURIComponent(group.id)}` }, group.displayName ?? group.id),
          group.type === "indirect" && " (through a group)")))
        : empty("In no group."),
      h("h2", null, "History"), it.history.length > 0
        ? h("ul", { class: "story" }, it.history.map(entry))
        : empty("The record of changes says nothing of this person any more."));
  };
  const change = (it) => {
    const word = it.active ? "Deactivate" : "Activate";
    const takes = it.active ? "takes login away from" : "gives login back to";
    return h("button", { type: "button", class: it.active ? "danger" : "", onclick: async () => {
      const yes = await confirmed({ title: `${word} ${it.userName}?`, button: word, reason: true,
        text: `This ${takes} this person now. The identity provider does not know of it and may ` +
          "undo it: at its next full sync, or when it next pushes a change of this person." });
      if (yes === null) return;
      try {
        const path = `users/${encodeURIComponent(it.id)}/${word.toLowerCase()}`;
        const changed = await post(path, yes);
        draw(changed, changed.note ?? "It was so already: nothing has changed.");
        say(changed.mayLogIn ? "May log in" : "May not log in");
      } catch (error) {
        if (error.status !== 401) content.prepend(problem(error));
      }
    } }, `${word} by hand`);
  };
  draw(await get(`users/${encodeURIComponent(id)}`, {}, signal));
}

function because({ because: it }) {
  if (!it.deed) return "the account is inactive, and the record does not go back to when that was done";
  return `${it.deed}${it.by ? ` by ${by(it.by)}` : ""}${it.time ? ` ${moment(it.time)}` : ""}`;
}

// Every value, by the name of its attribute.
function profile(it) {
  const rows = [["Username", it.userName], ["Display name", it.displayName]];
  const walk = (name, value) => {
    if (value === null || ["schemas", "id", "userName", "displayName", "active"].includes(name)) return;
    if (Array.isArray(value)) {
      rows.push([name, h("ul", null, value.map((one) => h("li", null, words(one))))]);
    } else if (typeof value === "object") {
      for (const [inner, one] of Object.entries(value)) walk(`${short(name)}.${inner}`, one);
    } else rows.push([name, String(value)]);
  };
  for (const [name, value] of Object.entries(it.document)) walk(name, value);
  rows.push(["Created", time(it.created)], ["Last changed", time(it.lastModified)],
    ["Id", h("code", null, it.id)]);
  if (it.deleted) rows.push(["Deleted", time(it.deleted)]);
  return h("dl", null, rows.filter(([, value]) => value)
    .map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

const short = (name) => (name.startsWith("urn:") ? name.split(":").at(-1) : name);

function words(value) {
  if (value === null || typeof value !== "object") return String(value);
  const type = [value.type, value.primary && "primary"].filter(Boolean).join(", ");
  const text = value.value ?? value.formatted;
  if (text === undefined) return JSON.stringify(value);
  return type ? `${text} (${type})` : String(text);
}
