// What the playground holds <-> the fragment of its address, which browsers send to no server.

const SHORT = 1500;
const LONGEST = 64_000;
const MOST_BYTES = 8_000_000;

// `state` is an object of strings: q, d, m, i (query, documents, model, instruction), mb and ib of side B, n, t.
// Empty where it would be too long for an address.
export async function fragmentOf(state) {
  const plain = new URLSearchParams(state).toString();
  if (plain.length <= SHORT) return plain;
  const packed = await through(new Blob([JSON.stringify(state)]).stream(), new CompressionStream("deflate-raw"));
  const letters = Array.from(packed, (byte) => String.fromCharCode(byte)).join("");
  const fragment = `z=${btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  return fragment.length <= LONGEST ? fragment : "";
}

// Null for a fragment that is none of these, such as the id of a heading; throws for one that is damaged.
export async function stateOf(fragment) {
  if (!/^#(q|z)=/.test(fragment)) return null;
  const fields = Object.fromEntries(new URLSearchParams(fragment.slice(1)));
  if (fields.z === undefined) return fields;
  const packed = Uint8Array.from(atob(fields.z.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const bytes = await through(new Blob([packed]).stream(), new DecompressionStream("deflate-raw"));
  const state = JSON.parse(new TextDecoder().decode(bytes));
  return Object.fromEntries(Object.entries(state).filter(([, value]) => typeof value === "string"));
}

// A small fragment may unpack to very much: whatever is larger than a request may be is an error.
async function through(stream, transform) {
  const chunks = [];
  let size = 0;
  for (const reader = stream.pipeThrough(transform).getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > MOST_BYTES) throw new RangeError("too large");
    chunks.push(value);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
