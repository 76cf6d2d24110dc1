// A browser that notes whatever no view may do, and what the checks beside this file say.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WAIT = 20_000;

export class Browser {
  faults = [];
  began = Date.now();

  static async launch(path) {
    const it = new Browser();
    it.browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
    return it;
  }

  // A page of its own. `expected` are the messages of the console that a check asks for.
  async open(server, width = 1280, colorScheme = "light") {
    const height = width < 600 ? 640 : 800;
    const context = await this.browser.newContext({ viewport: { width, height }, colorScheme,
      permissions: ["clipboard-read", "clipboard-write"] });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT);
    page.expected = /a^/;
    page.on("console", (it) => {
      if (["error", "warning"].includes(it.type()) && !page.expected.test(it.text())) {
        this.faults.push(it.text());
      }
    });
    page.on("pageerror", (it) => this.faults.push(`script: ${it.stack}`));
    page.on("request", (it) => {
      const url = it.url();
      if (!url.startsWith(`${server.base}/admin/`) && !url.startsWith("blob:")) this.faults.push(`loads ${url}`);
      if (url.includes("plm_")) this.faults.push(`a token in an address: ${url}`);
    });
    return page;
  }

  async close() {
    await this.browser.close();
  }

  // Ends a check: it was in time and nothing was noted.
  done(text) {
    assert.deepEqual(this.faults, [], text);
    console.log(`${String(Date.now() - this.began).padStart(6)} ms  ${text}`);
    this.began = Date.now();
  }
}

// Types a token into the form, as a person does.
export async function signIn(page, server, token = server.admin) {
  await page.goto(`${server.base}/admin/`);
  await page.getByLabel("Admin token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export const heading = (page, name) => page.getByRole("heading", { level: 1, name, exact: true }).waitFor();

export const link = (page, name) => page.getByRole("navigation").getByRole("link", { name, exact: true });

export async function view(page, name) {
  await link(page, name).click();
  await heading(page, name);
}

export async function until(is, text) {
  for (const end = Date.now() + WAIT; Date.now() < end;) {
    if (await is()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(text);
}

// Nobody who needs help to read it is kept out, and nothing lies beside the screen.
export async function readable(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run()).violations
    .map((it) => `${it.impact}: ${it.id}: ${it.nodes[0].html}`));
  assert.deepEqual(found, [], name);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(over, 0, `${name} is wider than the screen`);
}
