// A model's page: only its code moves.

import { startTabs } from "./snippets.js";

startTabs();
