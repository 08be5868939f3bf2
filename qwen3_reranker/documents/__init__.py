"""Files of a folder -> documents: their text, in passages that know their lines, and their records."""
