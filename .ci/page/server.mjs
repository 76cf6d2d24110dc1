// A running plumm with an organisation acme, for the scripts beside this file.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const URN = "urn:ietf:params:scim";
export const USER = `${URN}:schemas:core:2.0:User`;
export const GROUP = `${URN}:schemas:core:2.0:Group`;
export const ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH = `${URN}:api:messages:2.0:PatchOp`;
const BULK = `${URN}:api:messages:2.0:BulkRequest`;
const BULK_OPERATIONS = 1000;

// The settings of the host do not count.
process.env.PLUMM_ENV_FILE = "";

export class Server {
  constructor(plumm) {
    this.plumm = plumm;
    this.folder = mkdtempSync(join(tmpdir(), "plumm-page-"));
    this.db = join(this.folder, "plumm.db");
    this.command("org", "create", "acme");
    this.command("org", "activate", "acme");
    this.command("org", "set", "acme", "--rate", "100000");
    this.okta = this.token("--label", "Okta");
    this.admin = this.token("--label", "Ann's browser", "--scope", "admin", "--expires", "90");
  }

  command(...args) {
    return execFileSync(this.plumm, ["--db", this.db, ...args],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  }

  token(...args) {
    return JSON.parse(this.command("--json", "token", "create", "acme", ...args)).token;
  }

  async serve(listen = "127.0.0.1:0", ...args) {
    this.process = spawn(this.plumm, ["--db", this.db, "serve", "--listen", listen, ...args],
      { stdio: ["ignore", "ignore", "pipe"] });
    this.base = await new Promise((done, failed) => {
      let text = "";
      this.process.stderr.on("data", (it) => {
        text += it;
        const found = text.match(/listening on (http:\/\/[0-9.:]+)/);
        if (found) done(found[1]);
      });
      this.process.on("exit", () => failed(new Error(`no server: ${text}`)));
    });
  }

  async stop() {
    const ended = new Promise((done) => this.process.on("exit", done));
    this.process.kill("SIGTERM");
    await ended;
  }

  async end() {
    if (this.process?.exitCode === null) await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  // As the identity provider does.
  async scim(method, path, body, token = this.okta) {
    const answer = await fetch(`${this.base}/scim/v2${path}`, { method,
      body: body && JSON.stringify(body),
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/scim+json" } });
    return answer.status === 204 ? null : answer.json();
  }

  // As the page does.
  async page(path, token = this.admin) {
    return fetch(`${this.base}/admin/api/${path}`, { headers: { Authorization: `Bearer ${token}` } });
  }

  patch(id, value) {
    return this.scim("PATCH", `/Users/${id}`,
      { schemas: [PATCH], Operations: [{ op: "replace", value }] });
  }

  // Creates many at once, and says which ids they have.
  async create(people) {
    const ids = [];
    for (let i = 0; i < people.length; i += BULK_OPERATIONS) {
      const part = people.slice(i, i + BULK_OPERATIONS);
      const answer = await this.scim("POST", "/Bulk", { schemas: [BULK], Operations: part.map((data, j) =>
        ({ method: "POST", path: "/Users", bulkId: `b${j}`, data })) });
      ids.push(...answer.Operations.map((it) => it.location?.split("/").at(-1)));
    }
    return ids;
  }
}

export const person = (userName, more) => ({ schemas: [USER], userName, active: true, ...more });
