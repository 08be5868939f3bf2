// The reference: its tabs, and the dialect that the address names is open.

import { byId } from "./dom.js";
import { startTabs } from "./snippets.js";

startTabs();
const named = byId(location.hash.slice(1));
if (named instanceof HTMLDetailsElement) {
  named.open = true;
  named.scrollIntoView();
}
