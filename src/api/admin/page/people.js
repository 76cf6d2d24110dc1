// People: found as one types, and one of them.

import { get, post } from "./ask.js";
import { icon } from "./icons.js";
import { at, attribute, card, confirmed, empty, facts, field, h, moment, number, pill, problem,
  say, select, table } from "./make.js";
import { by, plain } from "./story.js";

const STATES = [["all", "Everybody"], ["inactive", "May not log in"], ["deleted", "Deleted"]];
const TYPE_WAIT = 120;
const SEARCHED = 100;

// A list that is searched as one types; `rows` makes a table of entries.
export async function searched({ content, signal, parameters, keep, path, states, rows, none }) {
  const wanted = parameters.get("state");
  const asked = { search: parameters.get("search") ?? "", state: states
    ? (states.some(([it]) => it === wanted) ? wanted : states[0][0]) : "" };
  const found = h("div", { class: "found" });
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
      && h("p", { class: "hint" }, `The first ${number(entries.length)} are shown: type more to find others.`);
    const some = !page.complete
      && h("p", { class: "hint" }, "Not every name could be looked at: type the beginning of one.");
    below.replaceChildren(...[more, many, some].filter(Boolean));
    if (searching) say(`${entries.length} found`);
  };
  const failed = (error) => {
    if (!signal.aborted && error.status !== 401) below.replaceChildren(problem(error));
  };
  const again = () => {
    keep({ search: asked.search, state: asked.state === states?.[0][0] ? "" : asked.state });
    load().catch(failed);
  };
  let timer;
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false",
    value: asked.search, oninput: (event) => {
      clearTimeout(timer);
      asked.search = event.target.value.trim();
      timer = setTimeout(() => { if (!signal.aborted) again(); }, TYPE_WAIT);
    } });
  const choose = (value) => {
    asked.state = value;
    again();
  };
  content.append(h("div", { class: "filters", role: "search" }, field("Search", search),
    states && field("Show", select(states, asked.state, choose))), found, below);
  await load();
}

const state = (it) => {
  if (it.deleted) return pill("", "Deleted");
  return it.active ? pill("good", "May log in") : pill("warn", "May not log in");
};

export const people = (view) => searched({ ...view, path: "users", states: STATES,
  rows: (entries) => table("Users", ["Username", "Name", "State", "Last changed"],
    entries.map((it) => [h("a", { href: `#users/${encodeURIComponent(it.id)}` }, it.userName),
      it.displayName, state(it), at(it.lastModified)])),
  none: (asked) => (asked.search
    ? empty("Nobody has these words in a name, username or e-mail address.")
    : asked.state === "all"
      ? empty("There is nobody yet. ", h("a", { href: "#setup" }, "Set up Okta"),
        " says how people get here.")
      : asked.state === "deleted" ? empty("Nobody was deleted.")
        : empty("Everybody may log in: nobody is deactivated.")) });

export async function person({ content, signal, name, id }) {
  const draw = (it, told) => {
    name(it.userName);
    const [kind, mark, text] = it.mayLogIn
      ? ["good", "tick", "May log in."]
      : ["warn", "minus", `May not log in: ${because(it)}.`];
    content.replaceChildren(
      it.displayName ? h("p", { class: "subtitle" }, it.displayName) : "",
      h("div", { class: `standing card ${kind}` }, h("span", { class: "mark" }, icon(mark)),
        h("p", null, text), it.deleted ? "" : change(it)),
      it.deleted ? h("p", { class: "hint" }, "The data stays until it is erased for good. ",
        h("code", null, "plumm user restore"), " brings the account back.") : "",
      told ? h("div", { class: "told note", role: "status" }, icon("tick"), h("p", null, told)) : "",
      h("div", { class: "two" }, card("Profile", profile(it)),
        card("Groups", it.groups.length > 0
          ? h("ul", { class: "links" }, it.groups.map((group) => h("li", null,
            h("a", { href: `#groups/${encodeURIComponent(group.id)}` }, group.displayName ?? group.id),
            group.type === "indirect" && h("span", { class: "hint" }, " through a group"))))
          : empty("In no group."))),
      h("div", { class: "heading" }, h("h2", null, "History"),
        it.hasMore && h("a", { href: `#activity?user=${encodeURIComponent(it.id)}` }, "All of it")),
      it.history.length > 0 ? plain(it.history)
        : empty("The record of changes says nothing of this person any more."));
  };
  const change = (it) => {
    const word = it.active ? "Deactivate" : "Activate";
    const takes = it.active ? "takes login away from" : "gives login back to";
    return h("button", { type: "button", class: it.active ? "danger" : "", onclick: async () => {
      const yes = await confirmed({ title: `${word} ${it.userName}?`, button: word, reason: true,
        harmless: !it.active, text: `This ${takes} this person now. The identity provider does not know ` +
          "of it and may undo it: at its next full sync, or when it next pushes a change of this person." });
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

// Every value, under the name of its attribute.
function profile(it) {
  const rows = [["Username", it.userName], ["Display name", it.displayName]];
  const name = (path) => h("span", { title: path }, attribute(path));
  const walk = (path, value) => {
    if (value === null || ["schemas", "id", "userName", "displayName", "active"].includes(path)) return;
    if (Array.isArray(value)) {
      rows.push([name(path), value.map((one) => h("span", { class: "line" }, words(one)))]);
    } else if (typeof value === "object") {
      for (const [inner, one] of Object.entries(value)) walk(`${path}.${inner}`, one);
    } else rows.push([name(path), String(value)]);
  };
  for (const [path, value] of Object.entries(it.document)) walk(path, value);
  return facts([...rows, ["Created", at(it.created)], ["Last changed", at(it.lastModified)],
    ["Deleted", it.deleted && at(it.deleted)], ["Id", h("code", null, it.id)]]);
}

function words(value) {
  if (value === null || typeof value !== "object") return String(value);
  const type = [value.type, value.primary && "primary"].filter(Boolean).join(", ");
  const text = value.value ?? value.formatted;
  if (text === undefined) return JSON.stringify(value);
  return type ? [String(text), h("span", { class: "hint" }, ` ${type}`)] : String(text);
}
