// Parts of views, and the words in them. Data becomes text, never markup.

import { h } from "./element.js";
import { icon } from "./icons.js";

export { h, svg } from "./element.js";

const DAY = 24 * 60 * 60_000;
const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const clock = format({ hour: "2-digit", minute: "2-digit" });
const weekday = format({ weekday: "long" });
const thisYear = format({ day: "numeric", month: "long" });
const otherYear = format({ day: "numeric", month: "long", year: "numeric" });
const wholeDay = format({ weekday: "long", day: "numeric", month: "long" });
const exact = format({ dateStyle: "full", timeStyle: "long" });
const shortDay = format({ day: "numeric", month: "short" });

const midnight = (at) => new Date(at).setHours(0, 0, 0, 0);

// How many days of the calendar ahead, in the reader's time zone.
const daysAhead = (at) => Math.round((midnight(at) - midnight(Date.now())) / DAY);

const date = (at) => (at.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(at);

// A moment in words: "today 14:02", "on Tuesday 14:02", "on 3 March 2026".
export function moment(text) {
  const at = new Date(text);
  const days = daysAhead(at);
  const near = { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days];
  if (near) return `${near} ${clock.format(at)}`;
  if (days < 0 && days > -7) return `on ${weekday.format(at)} ${clock.format(at)}`;
  return `on ${date(at)}`;
}

// A day in words, for what happened on it: "Today", "Tuesday 24 November".
export function dayName(text) {
  const days = daysAhead(new Date(text));
  return { "-1": "Yesterday", 0: "Today" }[days] ?? wholeDay.format(new Date(text));
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

const timed = (text, words) => h("time", { datetime: text,
  title: `${exact.format(new Date(text))} (${text})` }, words);

// The same as an element, with the exact time on hover: in a sentence, alone, and where the day
// stands above.
export const time = (text) => (text ? timed(text, moment(text)) : null);
export const at = (text) => (text ? timed(text, capital(moment(text).replace(/^on /, ""))) : null);
export const hour = (text) => (text ? timed(text, clock.format(new Date(text))) : null);

export const day = (text) => shortDay.format(new Date(text));

export const number = (value) => new Intl.NumberFormat("en-GB").format(value);

export const count = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;

export function bytes(value) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(units.length - 1, value > 0 ? Math.floor(Math.log2(value) / 10) : 0);
  return `${(value / 1024 ** unit).toFixed(unit > 0 ? 1 : 0)} ${units[unit]}`;
}

// The name of an attribute in words: "name.givenName" is "Given name".
export function attribute(name) {
  const last = name.startsWith("urn:") ? name.split(":").at(-1) : name.split(".").at(-1);
  const words = last.replaceAll(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return NAMES[last] ?? capital(words || name);
}

const NAMES = { userName: "Username", emails: "Email addresses", externalId: "External id",
  active: "May log in", formatted: "Full name" };

// Reads out to whoever does not see it.
export function say(text) {
  document.getElementById("said").textContent = text;
}

// The roles are said again: a narrow table is laid out as blocks.
export function table(caption, heads, rows) {
  const head = heads.map((it) => h("th", { scope: "col", role: "columnheader" }, it));
  const row = (cells) => h("tr", { role: "row" }, cells.map((it, i) =>
    h("td", { role: "cell", "data-head": heads[i] }, it ?? "–")));
  return h("div", { class: "card sheet" }, h("table", { role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows.map(row))));
}

// Names with what stands for each; what is empty is left out.
export const facts = (rows) => h("dl", null, rows
  .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
  .map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

export const card = (heading, ...inside) =>
  h("section", { class: "card" }, heading && h("h2", null, heading), inside);

// A word with a colour: good, warn, bad, or none.
export const pill = (kind, text) => h("span", { class: `state ${kind}` }, text);

export function problem(error) {
  return h("div", { class: "told problem", role: "alert" }, icon("wrong"), h("p", null, error.message));
}

export const note = (kind, name, ...text) =>
  h("div", { class: `told ${kind}` }, icon(name), h("div", null, text));

export const empty = (...text) => h("p", { class: "empty" }, text);

// A field under its label, with a hint.
export function field(label, control, hint) {
  const id = `field-${label.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), control,
    hint && h("span", { class: "hint", id: `${id}-hint` }, hint));
}

export function select(options, value, change) {
  const option = ([key, text]) => h("option", { value: key, selected: key === value }, text);
  return h("select", { onchange: (event) => change?.(event.target.value) }, options.map(option));
}

// A text to take along.
export function copied(label, text) {
  const input = h("input", { readonly: true, class: "code", value: text, spellcheck: "false",
    onfocus: (event) => event.target.select() });
  const button = h("button", { type: "button", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      say(`${label} copied`);
    } catch {
      input.focus();
      input.select();
      button.textContent = "Press Ctrl+C";
      say("Press Ctrl+C to copy");
    }
  });
  const row = h("div", { class: "copied" }, button);
  const inside = field(label, input);
  input.replaceWith(row);
  row.prepend(input);
  return inside;
}

// Asks once, in words; answers with what was typed as a reason, or null.
export function confirmed({ title, text, button, reason, harmless }) {
  return new Promise((done) => {
    const why = reason ? h("input", { maxlength: 500, autocomplete: "off" }) : null;
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title), h("p", null, text),
      why && field("Reason", why, "Stands in the record of changes. May be left empty."),
      h("div", { class: "buttons" },
        h("button", { type: "submit", value: "yes", class: harmless ? "main" : "main danger" }, button),
        h("button", { type: "submit", value: "" }, "Cancel")));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close(event.submitter?.value ?? "");
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes" ? { reason: why?.value || null } : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
