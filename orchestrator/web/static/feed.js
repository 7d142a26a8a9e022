// The live feed: keeps one document up to date, and comes back after a lost connection with what it has.

const AGAIN_MS = [500, 1000, 2000, 4000, 8000];
const SILENT_MS = 40000; // the daemon says something every 15 s

export class Feed {
  constructor({ token, changed, linked }) {
    this.token = token;
    this.changed = changed; // (document)
    this.linked = linked; // "live", "lost" or "refused"
    this.document = null;
    this.life = "";
    this.number = 0;
    this.tries = 0;
    this.chain = Promise.resolve();
    this.open();
  }

  open() {
    const url = new URL("feed", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const had = this.life ? `${this.life}.${this.number}` : "";
      socket.send(JSON.stringify({ token: this.token, user: user(), had }));
      this.listen(socket);
    };
    socket.onmessage = (event) => {
      this.listen(socket);
      // One after the other: inflating takes its time, and patches must not overtake each other.
      this.chain = this.chain.then(() => this.take(event.data)).catch((error) => this.distrust(socket, error));
    };
    socket.onclose = (event) => {
      clearTimeout(this.silence);
      if (event.code === 1008) return this.linked("refused");
      this.linked("lost");
      setTimeout(() => this.open(), AGAIN_MS[Math.min(this.tries++, AGAIN_MS.length - 1)]);
    };
  }

  listen(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => socket.close(), SILENT_MS);
  }

  async take(data) {
    const message = JSON.parse(await inflate(data));
    this.tries = 0;
    this.offset = message.at - Date.now() / 1000;
    this.number = message.n;
    if (message.document) {
      this.life = message.life;
      this.document = message.document;
      this.changed(this.document);
    } else if (message.patch) {
      this.document = merged(this.document, message.patch);
      this.changed(this.document);
    }
    this.linked("live");
  }

  distrust(socket, error) {
    console.error(error);
    this.life = ""; // begin with a snapshot
    socket.close();
  }

  now() {
    return Date.now() / 1000 + (this.offset ?? 0);
  }
}

async function inflate(data) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

// JSON Merge Patch, RFC 7396.
export function merged(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

function user() {
  let name = sessionStorage.getItem("orchestrator-user"); // of this tab alone
  if (!name) sessionStorage.setItem("orchestrator-user", (name = crypto.getRandomValues(new Uint32Array(2)).join("-")));
  return name;
}
