// What stands in the box, or in files -> a list of documents, and how they were told apart.

export function documentsOf(text) {
  const trimmed = text.trim();
  if (!trimmed) return { documents: [], how: "" };
  if (trimmed.startsWith("[")) {
    const list = parsed(trimmed);
    if (Array.isArray(list) && list.every(isDocument)) return { documents: list, how: "a JSON list" };
  }
  const lines = trimmed.split(/\r\n?|\n/);
  if (lines.every((line) => /^\s*(["{]|$)/.test(line))) {
    const records = lines.filter((line) => line.trim()).map(parsed);
    if (records.every(isDocument)) return { documents: records, how: "JSON, one a line" };
  }
  if (lines.some((line) => !line.trim())) {
    const blocks = trimmed.split(/(?:\r\n?|\n)(?:[^\S\r\n]*(?:\r\n?|\n))+/);
    return { documents: blocks.map((block) => block.trim()), how: "with empty lines between them" };
  }
  return { documents: lines.map((line) => line.trim()), how: "one a line" };
}

// Several files are a document each, whatever they hold.
export async function textOf(files) {
  const texts = await Promise.all([...files].map((file) => file.text()));
  return texts.length === 1 ? texts[0] : JSON.stringify(texts, null, 1);
}

export const shown = (document) =>
  typeof document === "string" ? document : typeof document.text === "string" ? document.text : JSON.stringify(document);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isDocument = (value) =>
  typeof value === "string" || (typeof value === "object" && value !== null && !Array.isArray(value));
