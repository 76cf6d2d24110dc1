// The page: who is signed in, which view is shown.

import { forgetToken, get, keepToken, onSignedOut, token } from "./ask.js";
import { activity } from "./activity.js";
import { backup } from "./backup.js";
import { group, groups } from "./groups.js";
import { icon, plum } from "./icons.js";
import { field, h, note, problem, say } from "./make.js";
import { overview } from "./overview.js";
import { people, person } from "./people.js";
import { setup } from "./setup.js";
import { tokens } from "./tokens.js";
import { webhook, webhooks } from "./webhooks.js";

// Each view: its address, its name, what shows it, and what shows one thing of it.
const VIEWS = [
  ["overview", "Overview", overview],
  ["users", "Users", people, person],
  ["groups", "Groups", groups, group],
  ["activity", "Activity", activity],
  ["tokens", "Tokens", tokens],
  ["webhooks", "Webhooks", webhooks, webhook],
  ["setup", "Set up Okta", setup],
  ["backup", "Backup", backup],
];

const page = document.getElementById("page");
let leaving = new AbortController();
let frame = null;

// What is asked first says who is signed in.
const first = () => get("overview", { offset: -new Date().getTimezoneOffset() });

function signIn(message) {
  leaving.abort();
  frame = null;
  forgetToken();
  document.title = "Sign in – plumm";
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  const input = h("input", { type: "password", autocomplete: "off", required: true,
    spellcheck: "false" });
  const told = h("div", null, message && problem(message));
  const button = h("button", { type: "submit", class: "main" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    keepToken(input.value.trim().replace(/^Bearer\s+/i, ""));
    try {
      show(await first());
    } catch (error) {
      forgetToken();
      if (!told.isConnected) return;
      told.replaceChildren(problem(inOwnWords(error)));
      button.disabled = false;
      input.focus();
    }
  };
  page.replaceChildren(h("main", { class: "sign-in" },
    h("div", { class: "card" }, plum(),
      h("h1", null, "Sign in to plumm"),
      h("form", { onsubmit: submit },
        told,
        field("Admin token", input, "It begins with plm_ and stays in this tab only."),
        button)),
    h("p", { class: "hint" }, "No token yet? Whoever runs the server makes one: ",
      h("code", null, "plumm token create ORG --scope admin"))));
  input.focus();
}

// The server speaks to identity providers: what it says of their fields means nothing here.
function inOwnWords(error) {
  const text = error.message.replace(/ Paste the (whole )?API token into the identity provider.*$/, "");
  return { message: text };
}

// The frame around every view.
function show(known) {
  const link = ([address, name]) =>
    h("li", null, h("a", { href: `#${address}` }, icon(address), h("span", null, name)));
  const skip = (event) => {
    event.preventDefault();
    document.getElementById("view").focus();
  };
  const view = h("main", { id: "view", tabindex: -1 });
  const nav = h("nav", { "aria-label": "Views" }, h("ul", null, VIEWS.map(link)));
  page.replaceChildren(
    h("a", { href: "#view", class: "skip", onclick: skip }, "Skip to content"),
    known.demo ? h("aside", { class: "demo", "aria-label": "Demonstration" }, h("strong", null, "Demonstration. "),
      "The people are invented, and everything is gone when the server stops.") : "",
    h("div", { class: "frame" },
      h("header", null, h("div", { class: "brand" }, plum(), h("strong", null, "plumm"),
        h("span", { class: "org" }, known.org.name)), nav,
        h("button", { type: "button", class: "out", onclick: () => signIn() }, "Sign out")), view));
  frame = { view, nav };
  go(known);
}

// Where the address leads: a view, one thing of it, and what is searched for there.
function place() {
  const [path, query] = location.hash.slice(1).split("?", 2);
  const [address, ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // Nothing has such a name, and the server says so.
  }
  return { found: VIEWS.find(([it]) => it === address) ?? VIEWS[0], id,
    parameters: new URLSearchParams(query) };
}

// `known` is what was asked first, which needs not be asked for again.
async function go(known) {
  if (frame === null) return;
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  const { found: [address, title, all, single], id, parameters } = place();
  for (const link of frame.nav.querySelectorAll("a")) {
    if (link.getAttribute("href") === `#${address}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const one = id !== "" && single;
  const heading = h("h1", { tabindex: -1 }, title);
  const content = h("div", { class: `content ${address}` });
  frame.view.replaceChildren(
    one ? h("p", { class: "up" }, h("a", { href: `#${address}` }, icon("back"), title)) : "",
    heading, content);
  document.title = `${title} – plumm`;
  window.scrollTo(0, 0);
  if (document.activeElement === document.body || frame.nav.contains(document.activeElement)) {
    heading.focus({ preventScroll: true });
  }
  const name = (text) => {
    // A long name is broken before the sign, rather than anywhere.
    heading.replaceChildren(...text.split(/(?=@)/).flatMap((it) => [it, h("wbr")]));
    document.title = `${text} – plumm`;
  };
  // What is searched for stands in the address: going back finds it again.
  const keep = (values) => {
    const query = new URLSearchParams(Object.entries(values).filter(([, it]) => it));
    history.replaceState(null, "", `#${address}${query.size > 0 ? `?${query}` : ""}`);
  };
  try {
    await (one ? single({ content, signal, name, id })
      : all({ content, signal, known, parameters, keep }));
    if (!signal.aborted) say(`${heading.textContent} is shown`);
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    const again = h("button", { type: "button", onclick: () => go() }, "Try again");
    const passes = error.status === 0 || error.status === 429 || error.status >= 500;
    content.replaceChildren(problem(error), passes ? again : "");
  }
}

onSignedOut((error) => { if (frame !== null) signIn(error); });
window.addEventListener("hashchange", () => go());

function start() {
  first().then(show, (error) => {
    if (error.status === 401 || error.status === 403) return signIn(error);
    page.replaceChildren(h("main", { class: "sign-in" }, h("div", { class: "card" }, plum(),
      h("h1", null, "plumm"), problem(error),
      h("button", { type: "button", class: "main", onclick: start }, "Try again"))));
  });
}

if (token() === null) signIn();
else start();
