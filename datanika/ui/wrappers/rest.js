// The REST API from an island of a page: the session's cookie goes along, errors are problems
// (RFC 9457) with a stable `code`, a sentence in `detail` and the way out in `hint`.

export class Problem extends Error {
  constructor(given) {
    super(given.detail ?? given.title ?? "");
    this.status = given.status ?? 0;
    this.code = given.code ?? "unknown";
    this.hint = given.hint ?? "";
    this.field = given.field ?? given.errors?.[0]?.field ?? "";
    this.usedBy = given.used_by ?? [];
  }
}

// A problem as one text: what is wrong, and the way out.
export const readable = (error) => [error.message, error.hint].filter(Boolean).join(" ");

const lost = () => new Problem({ code: "network", status: 0 });

const problemOf = async (answer) => {
  const said = await answer.json().catch(() => ({}));
  return new Problem({ ...said, status: answer.status });
};

// `base`: where /api/v1 is. Gives {data, etag, status}; throws a Problem.
export async function call(base, method, path, { body, headers, signal } = {}) {
  let answer;
  try {
    answer = await fetch(`${base}${path}`, {
      method,
      credentials: "include",
      signal,
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lost();
  }
  if (answer.status === 401)
    window.location.assign(`/login?next=${encodeURIComponent(window.location.pathname)}`);
  if (!answer.ok) throw await problemOf(answer);
  const data = answer.status === 204 ? null : await answer.json();
  return { data, etag: answer.headers.get("ETag"), status: answer.status };
}

const WAIT_SECONDS = 20;
const PATIENCE_MS = 180_000;

// Starts an ad hoc job and follows it to its end: what it found. Throws a Problem, also for a job
// that failed.
export async function job(base, path, body, { signal } = {}) {
  const began = Date.now();
  let { data } = await call(base, "POST", `${path}?wait=${WAIT_SECONDS}`, { body, signal });
  while (data.state !== "succeeded" && data.state !== "failed") {
    if (Date.now() - began > PATIENCE_MS) throw new Problem({ code: "job_lost" });
    await new Promise((done) => setTimeout(done, 1000));
    data = (await call(base, "GET", `/jobs/${data.id}`, { signal })).data;
  }
  if (data.failure)
    throw new Problem({ ...data.failure, detail: data.failure.message, status: 200 });
  return data.result;
}

// A file as the request's body, with progress: `onProgress` gets 0..1. Returns {done, stop}.
export function upload(base, path, file, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `${base}${path}`);
    request.withCredentials = true;
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) =>
      event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () =>
      request.status < 300
        ? resolve(request.response)
        : reject(new Problem({ ...(request.response ?? {}), status: request.status }));
    request.onerror = () => reject(lost());
    request.onabort = () => reject(new Problem({ code: "aborted" }));
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
