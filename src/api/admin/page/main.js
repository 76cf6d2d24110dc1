// The page: who is signed in, which view is shown.

import { forgetToken, get, keepToken, onSignedOut, token } from "./ask.js";
import { activity } from "./activity.js";
import { group, groups } from "./groups.js";
import { field, h, problem, say } from "./make.js";
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
];

const page = document.getElementById("page");
let leaving = new AbortController();
let frame = null;

function signIn(message) {
  leaving.abort();
  frame = null;
  forgetToken();
  document.title = "Sign in – plumm";
  const input = h("input", { type: "password", autocomplete: "off", required: true,
    spellcheck: "false" });
  const told = h("div", null, message && problem(message));
  const button = h("button", { type: "submit", class: "main" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    keepToken(input.value.trim().replace(/^Bearer\s+/i, ""));
    try {
      show(await get("overview", { offset: -new Date().getTimezoneOffset() }));
    } catch (error) {
      forgetToken();
      if (!told.isConnected) return;
      told.replaceChildren(problem(inOwnWords(error)));
      button.disabled = false;
      input.focus();
    }
  };
  page.replaceChildren(h("main", { class: "sign-in" },
    h("h1", null, "Sign in to plumm"),
    h("form", { onsubmit: submit },
      told,
      field("Admin token", input, "It begins with plm_ and stays in this tab only."),
      button),
    h("p", { class: "hint" }, "Whoever runs the server makes one with ",
      h("code", null, "plumm token create ORG --scope admin"), ".")));
  input.focus();
}

// The server speaks to identity providers: what it says of their fields means nothing here.
function inOwnWords(error) {
  const text = error.message.replace(/ Paste the (whole )?API token into the identity provider.*$/, "");
  return { message: text };
}

// The frame around every view.
function show(first) {
  const link = ([address, name]) => h("li", null, h("a", { href: `#${address}` }, name));
  const skip = (event) => {
    event.preventDefault();
    document.getElementById("view").focus();
  };
  const view = h("main", { id: "view", tabindex: -1 });
  const nav = h("nav", { "aria-label": "Views" }, h("ul", null, VIEWS.map(link)));
  const out = h("button", { type: "button", onclick: () => signIn() }, "Sign out");
  page.replaceChildren(
    h("a", { href: "#view", class: "skip", onclick: skip }, "Skip to content"),
    h("header", null, h("span", { class: "brand" }, "plumm"),
      h("span", { class: "org" }, first.org.name), out),
    h("div", { class: "frame" }, nav, view));
  frame = { view, nav };
  go();
}

async function go() {
  if (frame === null) return;
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  const [address, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  const found = VIEWS.find(([it]) => it === address) ?? VIEWS[0];
  const id = rest.join("/");
  for (const link of frame.nav.querySelectorAll("a")) {
    const here = link.getAttribute("href") === `#${found[0]}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const one = id !== "" && found[3];
  const heading = h("h1", { tabindex: -1 }, found[1]);
  const content = h("div", { class: "content" });
  frame.view.replaceChildren(heading, content);
  document.title = `${found[1]} – plumm`;
  window.scrollTo(0, 0);
  if (document.activeElement === document.body || frame.nav.contains(document.activeElement)) {
    heading.focus({ preventScroll: true });
  }
  const name = (text) => {
    heading.textContent = text;
    document.title = `${text} – plumm`;
  };
  try {
    await (one ? found[3]({ content, signal, name, id }) : found[2]({ content, signal, name }));
    if (!signal.aborted) say(`${heading.textContent} is shown`);
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    const again = h("button", { type: "button", onclick: () => go() }, "Try again");
    content.replaceChildren(problem(error), again);
  }
}

onSignedOut((error) => { if (frame !== null) signIn(error); });
window.addEventListener("hashchange", go);

if (token() === null) signIn();
else {
  get("overview").then(show, (error) => {
    if (error.status === 401 || error.status === 403) signIn(error);
    else show({ org: { name: "" } });
  });
}
