"""Wire formats: a JSON body -> a ScoreRequest, and a ScoreResult -> a JSON reply. No network, no model, no state."""
