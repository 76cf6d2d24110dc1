// Elements, and the words in them. Data becomes text, never markup.

// An element: properties that begin with "on" are listeners, the others attributes.
export function h(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(9).filter((it) => it !== null && it !== undefined && it !== false));
  return element;
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "long" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });
const shortDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

// A moment in words: "today 14:02", "on Tuesday 14:02", "on 3 March 2026".
export function moment(text) {
  const at = new Date(text);
  const midnight = new Date().setHours(0, 0, 0, 0);
  const days = Math.floor((at.getTime() - midnight) / DAY);
  if (days === 0) return `today ${clock.format(at)}`;
  if (days === -1) return `yesterday ${clock.format(at)}`;
  if (days < 0 && days > -7) return `on ${weekday.format(at)} ${clock.format(at)}`;
  return `on ${date.format(at)}`;
}

// The same as an element, with the exact time on hover.
export function time(text) {
  if (!text) return null;
  const title = `${exact.format(new Date(text))} (${text})`;
  return h("time", { datetime: text, title }, moment(text));
}

export const day = (text) => shortDay.format(new Date(text));

export const number = (value) => new Intl.NumberFormat("en-GB").format(value);

export const count = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;

export function bytes(value) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(units.length - 1, value > 0 ? Math.floor(Math.log2(value) / 10) : 0);
  return `${(value / 1024 ** unit).toFixed(unit > 0 ? 1 : 0)} ${units[unit]}`;
}

// Reads out to whoever does not see it.
export function say(text) {
  document.getElementById("said").textContent = text;
}

export function table(caption, heads, rows) {
  const head = h("tr", null, heads.map((it) => h("th", { scope: "col" }, it)));
  const row = (cells) =>
    h("tr", null, cells.map((it, i) => h("td", { "data-head": heads[i] }, it ?? "–")));
  return h("table", null, h("caption", { class: "unseen" }, caption),
    h("thead", null, head), h("tbody", null, rows.map(row)));
}

export function problem(error) {
  return h("div", { class: "problem", role: "alert" }, h("p", null, error.message));
}

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
  const button = h("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      say(`${label} copied`);
    } catch {
      input.focus();
      input.select();
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
export function confirmed({ title, text, button, reason }) {
  return new Promise((done) => {
    const why = reason ? h("input", { maxlength: 500, autocomplete: "off" }) : null;
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title), h("p", null, text),
      why && field("Reason", why, "Stands in the record of changes. May be left empty."),
      h("div", { class: "buttons" },
        h("button", { type: "submit", value: "yes", class: "danger" }, button),
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
