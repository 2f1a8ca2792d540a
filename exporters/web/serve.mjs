// Serves this folder to this machine: `node serve.mjs [port]`. Any other server of static files does as well.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};
// Under these two, a browser lets the runtime use several threads.
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

const server = createServer(async (request, response) => {
  const path = await found(request.url ?? "/");
  if (path === null) {
    response.writeHead(404).end("not found");
    return;
  }
  response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream", ...ISOLATED });
  createReadStream(path).pipe(response);
});

server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`open http://localhost:${server.address().port}/`);
});

/** The file that a URL names, if it is one below the root. */
async function found(url) {
  try {
    const path = join(ROOT, normalize(decodeURIComponent(url.split("?")[0])));
    const file = path.endsWith(sep) ? join(path, "index.html") : path;
    return file.startsWith(ROOT) && (await stat(file)).isFile() ? file : null;
  } catch {
    return null;
  }
}
