// Requests to the server. The token stays in this tab: in its session storage and nowhere else.

const KEY = "plumm-admin-token";

// What went wrong, in words.
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const SILENT = "The server does not answer. It may be stopped, or the network is down.";

let signedOut = () => {};

export const onSignedOut = (call) => { signedOut = call; };
export const token = () => sessionStorage.getItem(KEY);
export const keepToken = (text) => sessionStorage.setItem(KEY, text);
export const forgetToken = () => sessionStorage.removeItem(KEY);

export async function get(path, parameters, signal) {
  return json(await ask("GET", path, parameters, undefined, signal));
}

export async function post(path, body) {
  return json(await ask("POST", path, {}, body ?? {}));
}

async function json(response) {
  const answer = await response.json().catch(() => null);
  if (answer === null) throw new Problem(0, SILENT);
  return answer;
}

// The answer, when it is not a refusal.
async function ask(method, path, parameters, body, signal) {
  const used = token();
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const url = `api/${path}${query.size > 0 ? `?${query}` : ""}`;
  const headers = { Authorization: `Bearer ${used}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, signal, cache: "no-store", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, SILENT);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const detail = answer?.detail ?? `The server answered ${response.status} without saying why.`;
  const problem = new Problem(response.status, detail);
  // A token that was replaced meanwhile has signed nobody out.
  if (response.status === 401 && used === token()) signedOut(problem);
  throw problem;
}

// Saves what the server sends as a file; `tell` hears how many bytes have come, and of how many.
export async function download(method, path, parameters, name, tell, signal) {
  const body = method === "POST" ? {} : undefined;
  const response = await ask(method, path, parameters, body, signal);
  const all = Number(response.headers.get("Content-Length")) || null;
  let come = 0;
  const counted = new TransformStream({ transform(part, on) {
    come += part.byteLength;
    tell(come, all);
    on.enqueue(part);
  } });
  let blob;
  try {
    // The browser keeps what is large on its disk.
    blob = await new Response(response.body.pipeThrough(counted)).blob();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The download broke off: the server or the network was gone. Nothing was saved; try again.");
  }
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = response.headers.get("Content-Disposition")?.match(/filename="([^"/\\]+)"/)?.[1] ?? name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return come;
}

export const pause = (milliseconds, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, milliseconds);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    failed(new DOMException("left", "AbortError"));
  });
});
