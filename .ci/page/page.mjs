// The web page in a real browser. Each check says what it is about; the first that fails ends all.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [plumm, browserPath] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "plumm-page-"));
const db = join(folder, "plumm.db");
const command = (...args) => execFileSync(plumm, ["--db", db, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const token = (...args) => JSON.parse(command("--json", "token", "create", "acme", ...args)).token;
const HTML = '<img src=x onerror="document.title=\'run\'"><script>document.title="run"</script>';
const PEOPLE = 10_000;

let server;
let base;
async function serve(listen = "127.0.0.1:0") {
  server = spawn(plumm, ["--db", db, "serve", "--listen", listen], { stdio: ["ignore", "ignore", "pipe"] });
  base = await new Promise((done, failed) => {
    let text = "";
    server.stderr.on("data", (it) => {
      text += it;
      const found = text.match(/listening on (http:\/\/[0-9.:]+)/);
      if (found) done(found[1]);
    });
    server.on("exit", () => failed(new Error(`no server: ${text}`)));
  });
}
async function stop() {
  const ended = new Promise((done) => server.on("exit", done));
  server.removeAllListeners("error");
  server.kill("SIGTERM");
  await ended;
}

async function scim(method, path, body) {
  const answer = await fetch(`${base}/scim/v2${path}`, { method, body: body && JSON.stringify(body),
    headers: { Authorization: `Bearer ${okta}`, "Content-Type": "application/scim+json" } });
  return answer.status === 204 ? null : answer.json();
}
const person = (userName, more) => ({ schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"], userName, active: true, ...more });
const patch = (id, value) => scim("PATCH", `/Users/${id}`, { schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], Operations: [{ op: "replace", value }] });

command("org", "create", "acme");
command("org", "activate", "acme");
command("org", "set", "acme", "--rate", "100000");
command("webhook", "add", "acme", "http://127.0.0.1:9/nobody");
const okta = token("--label", "Okta");
const admin = token("--label", "browser", "--scope", "admin");
await serve();
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });

// What no view may do.
const faults = [];
async function open(width, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
  const page = await context.newPage();
  page.expected = /a^/;
  page.on("console", (it) => {
    if (["error", "warning"].includes(it.type()) && !page.expected.test(it.text())) faults.push(it.text());
  });
  page.on("pageerror", (it) => faults.push(`script: ${it}`));
  page.on("request", (it) => {
    if (!it.url().startsWith(`${base}/admin/`) && !it.url().startsWith("blob:")) faults.push(`loads ${it.url()}`);
  });
  return page;
}
async function signIn(page, text = admin) {
  await page.goto(`${base}/admin/`);
  await page.getByLabel("Admin token").fill(text);
  await page.getByRole("button", { name: "Sign in" }).click();
}
const heading = (page, name) => page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
const link = (page, name) => page.getByRole("navigation").getByRole("link", { name, exact: true });

let began = Date.now();
function done(text) {
  assert.deepEqual(faults, [], text);
  console.log(`${String(Date.now() - began).padStart(6)} ms  ${text}`);
  began = Date.now();
}

try {
  const page = await open(1280, "light");
  page.expected = /status of 401/;
  await signIn(page, "plm_nobody_nothing");
  assert.match(await page.getByRole("alert").innerText(), /token/i);
  await signIn(page, token("--scope", "read")).catch(() => {});
  page.expected = /status of 40[13]/;
  await page.getByRole("alert").filter({ hasText: "scope" }).waitFor();
  done("a wrong token and one of another scope are refused in words");

  page.expected = /a^/;
  await signIn(page);
  await heading(page, "Overview");
  assert.equal(await page.evaluate(() => Object.keys(localStorage).length + document.cookie.length), 0);
  assert.ok(!page.url().includes("plm_"));
  done("sign-in; the token is in no address, no cookie and no lasting storage");

  await link(page, "Set up Okta").click();
  await heading(page, "Set up Okta");
  const ticks = () => page.getByRole("img", { name: "Done", exact: true }).count();
  const until = async (is, text) => {
    for (let i = 0; i < 150; i++) {
      if (await is()) return;
      await page.waitForTimeout(100);
    }
    assert.fail(text);
  };
  assert.equal(await ticks(), 0);
  await scim("GET", "/Users?startIndex=1&count=2");
  await until(async () => (await ticks()) === 1, "the test of the credentials ticks itself off");
  const mara = await scim("POST", "/Users", person("mara@example.com", { displayName: HTML, title: "Engineer" }));
  await patch(mara.id, { title: "Director" });
  await patch(mara.id, { active: false });
  await scim("POST", "/Groups", { schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group"], displayName: HTML, members: [{ value: mara.id }] });
  await until(async () => (await ticks()) === 5, "all steps tick themselves off");
  done("set-up ticks itself off as requests arrive");

  await link(page, "Activity").click();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.locator(".story li").first().waitFor();
  await scim("POST", "/Users", person("jdoe"));
  await page.locator(".story li").first().filter({ hasText: "Application username format" }).waitFor();
  await scim("POST", "/Users", person("tom@example.com"));
  await page.locator(".story li").first().filter({ hasText: "tom@example.com" }).waitFor();
  await page.getByLabel("Outcome").selectOption("refused");
  await until(async () => (await page.locator(".story > li").count()) === (await page.locator(".story > li.refused").count()) && (await page.locator(".story > li").count()) > 0, "nothing but refusals");
  done("a refusal and a change appear while one looks, and are filtered");

  for (const [name, one] of [["Users", "mara@example.com"], ["Groups", HTML]]) {
    await link(page, name).click();
    await heading(page, name);
    await page.locator("main").getByRole("link", { name: one }).first().click();
    await heading(page, one);
  }
  await page.getByRole("link", { name: "mara@example.com" }).click();
  await page.getByText(/May not log in: deactivated by Okta today/).waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.notEqual(await page.title(), "run");
  done("markup in names is text; why a person may not log in is said");

  await page.getByRole("button", { name: "Activate by hand" }).click();
  await page.getByLabel("Reason").fill("unassigned by mistake");
  await page.getByRole("dialog").getByRole("button", { name: "Activate" }).click();
  await page.getByText("May log in.", { exact: true }).waitFor();
  await page.getByText("Reason: unassigned by mistake").waitFor();
  done("login is given back by hand, with a reason");

  await link(page, "Tokens").click();
  await page.getByLabel("Label").fill("second");
  await page.getByRole("button", { name: "Create token" }).click();
  const made = await page.getByLabel("New token").inputValue();
  const asks = () => fetch(`${base}/scim/v2/Users`, { headers: { Authorization: `Bearer ${made}` } }).then((it) => it.status);
  assert.equal(await asks(), 200);
  await page.getByRole("button", { name: "Revoke second" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await until(async () => (await asks()) === 401, "it is refused");
  await page.reload();
  await heading(page, "Tokens");
  await page.getByText("revoked").waitFor();
  assert.ok(!(await page.content()).includes(made));
  done("a token is made, shown once and revoked");

  await link(page, "Webhooks").click();
  await heading(page, "Webhooks");
  await page.getByRole("link", { name: "http://127.0.0.1:9/nobody" }).click();
  await page.getByRole("heading", { level: 1, name: "http://127.0.0.1:9/nobody" }).waitFor();
  await page.getByRole("button", { name: "Disable" }).click();
  await page.getByText("disabled", { exact: true }).waitFor();
  await page.getByLabel("Replay from change").fill("1");
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await until(async () => (await page.getByText("disabled", { exact: true }).count()) === 0, "it goes on");
  done("a webhook is disabled, and its events are sent again");

  for (let i = 0; i < PEOPLE; i += 1000) {
    const operations = Array.from({ length: 1000 }, (_, j) => ({ method: "POST", path: "/Users", bulkId: `b${j}`, data: person(`person${i + j}@example.com`, { displayName: `Person ${i + j}` }) }));
    await scim("POST", "/Bulk", { schemas: ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], Operations: operations });
  }
  began = Date.now();
  await link(page, "Users").click();
  await page.getByLabel("Search").pressSequentially("person 9876");
  await page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "person9876@example.com" }).waitFor();
  done(`one of ${PEOPLE} people is found as one types`);

  const sizes = { light: 0 };
  for (const [width, scheme] of [[1280, "light"], [320, "light"], [1280, "dark"], [320, "dark"]]) {
    const view = await open(width, scheme);
    const bytes = [];
    view.on("requestfinished", async (it) => bytes.push(it.sizes().then((all) => all.responseBodySize + all.responseHeadersSize)));
    await signIn(view);
    await view.locator(".tiles").waitFor();
    sizes.light ||= (await Promise.all(bytes)).reduce((a, b) => a + b, 0);
    for (const name of ["Overview", "Users", "Groups", "Activity", "Tokens", "Webhooks", "Set up Okta"]) {
      await link(view, name).click();
      await heading(view, name);
      await view.locator("main :is(.tiles, table, .story li, .steps li)").first().waitFor();
      const over = await view.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(over, 0, `${name} is wider than ${width}`);
      await view.screenshot({ path: `${name.replaceAll(" ", "-")}-${width}-${scheme}.png` });
      await view.evaluate(axe);
      const found = await view.evaluate(async () => (await window.axe.run()).violations.map((it) => `${it.impact}: ${it.id}: ${it.nodes[0].html}`));
      assert.deepEqual(found, [], `${name}, ${width}, ${scheme}`);
    }
    await view.context().close();
  }
  done(`every view at 1280 and 320, light and dark, without a finding; ${Math.round(sizes.light / 1024)} KiB at first`);

  const keys = await open(1280, "light");
  await keys.goto(`${base}/admin/`);
  await keys.keyboard.type(admin);
  await keys.keyboard.press("Enter");
  await heading(keys, "Overview");
  for (let i = 0; i < 12 && !(await link(keys, "Users").evaluate((it) => it === document.activeElement)); i++) await keys.keyboard.press("Tab");
  await keys.keyboard.press("Enter");
  await heading(keys, "Users");
  done("by keyboard alone");

  const at = new URL(base).host;
  await link(page, "Activity").click();
  page.expected = /ERR_|Failed to load/;
  keys.expected = page.expected;
  await page.locator(".story li").first().waitFor();
  await stop();
  await page.getByText("The server does not answer").first().waitFor();
  await serve(at);
  await page.getByText("Live", { exact: true }).waitFor();
  await scim("POST", "/Users", person("back@example.com"));
  await page.locator(".story li").first().filter({ hasText: "back@example.com" }).waitFor();
  done("the server stops and comes back while the page is open");

  const id = admin.split("_")[1];
  command("token", "revoke", id);
  await page.getByRole("heading", { name: "Sign in to plumm" }).waitFor({ timeout: 60_000 });
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  done("a token that ends while the page is open signs out");
} finally {
  await browser.close();
  await stop().catch(() => {});
  rmSync(folder, { recursive: true, force: true });
}
