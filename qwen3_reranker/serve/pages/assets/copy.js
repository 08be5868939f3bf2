// Buttons that copy the text they name.

import { byId } from "./dom.js";

export function startCopying() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    const name = button.textContent;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      const done = await copied(byId(button.dataset.copies));
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (button.textContent = name), 2000);
    });
  }
}

// Browsers lend their clipboard to https and localhost alone; elsewhere the text is selected and copied the old way.
async function copied(source) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      // Refused: the old way may still work.
    }
  }
  getSelection().selectAllChildren(source);
  return document.execCommand("copy");
}
