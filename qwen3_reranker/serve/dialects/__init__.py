"""One wire format a file: a JSON body in, an Ask out; an Answer in, a JSON body out. No network, no model, no state."""
