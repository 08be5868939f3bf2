// A model's page: only its snippets move.

import { startCopying } from "./copy.js";

startCopying();
