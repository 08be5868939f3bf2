// Calls of this server's own API, and what is said when one fails.

import { make } from "./dom.js";

// Scripts lie at ROOT/assets/DIGEST/, wherever a proxy has put the root.
export const root = new URL("../../", import.meta.url);

export class Refusal extends Error {
  constructor(message, { status = 0, code = "", param = "", retryAfter = "", requestId = "" } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter, requestId });
  }

  get title() {
    // An answer that breaks off has the status of a good one.
    if (this.status < 400) return "No answer";
    return `${this.status} ${TITLES[this.status] ?? (this.status >= 500 ? "Server error" : "Request refused")}`;
  }
}

const TITLES = {
  400: "The request cannot be used",
  401: "The key is not accepted",
  402: "No credit left",
  403: "Not allowed for this key",
  404: "Not found",
  409: "Not possible now",
  413: "Too large",
  429: "Too many requests",
  503: "Busy",
  504: "Out of time",
};

// What the server answers, and the headers it came with; throws a Refusal for any other end but cancelling.
// Without a method it is a POST where there is a body, else a GET.
export async function call(path, { method, body, key, headers: further = {}, signal } = {}) {
  const headers = { accept: "application/json", ...further };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) {
    if (!/^[\x21-\x7e]+$/.test(key)) throw new Refusal("A key has no spaces and no accented letters.", { status: 401 });
    headers.authorization = `Bearer ${key}`;
  }
  const response = await fetch(new URL(path, root), {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    cache: "no-store",
    credentials: "omit",
  }).catch((error) => {
    throw error.name === "AbortError" ? error : new Refusal("The server could not be reached.");
  });
  const answer = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && answer !== null) return { answer, headers: response.headers };
  throw new Refusal(answer?.error?.message ?? answer?.message ?? "The server did not say why.", {
    status: response.status,
    code: answer?.error?.code ?? "",
    param: answer?.error?.param ?? "",
    retryAfter: response.headers.get("retry-after") ?? "",
    requestId: response.headers.get("x-request-id") ?? answer?.id ?? "",
  });
}

export function failure(error) {
  const refusal = error instanceof Refusal ? error : new Refusal("The page could not read the answer.");
  const again = /^\d+$/.test(refusal.retryAfter) ? ` Try again in ${refusal.retryAfter} s.` : "";
  const details = [refusal.code, refusal.requestId].filter(Boolean).join(" · ");
  return make(
    "div",
    { class: "failure", role: "alert" },
    make("strong", {}, refusal.title),
    make("p", {}, refusal.message + again),
    details ? make("p", { class: "help" }, details) : null,
  );
}
