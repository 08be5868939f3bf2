"""The texts that the playground begins with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaygroundExample:
    """A query with documents of at most one line, and a second instruction to compare with."""

    name: str
    query: str
    documents: tuple[str, ...]
    instruction: str
    other_instruction: str


EXAMPLES = (
    PlaygroundExample(
        name="Git help",
        query="take back my last commit",
        documents=(
            "git stash puts uncommitted changes aside, and git stash pop brings them back.",
            "git reset --soft HEAD~1 undoes the last commit and keeps its changes staged.",
            "git revert HEAD makes a new commit that undoes the last one: the safe way after a push.",
            "Simmer the rice for twelve minutes, take the pot off the heat, and leave the lid on.",
            "git commit --amend replaces the last commit, to correct its message or to add a file.",
            "git tag -a v1.2 marks a release.",
            "git log --oneline lists the history, one line each.",
            "git reflog lists where HEAD was, to find what no branch reaches any more.",
        ),
        instruction="",
        other_instruction="Given a question about git, retrieve only commands that are safe after a push",
    ),
    PlaygroundExample(
        name="Travel",
        query="quiet beach with a train station nearby",
        documents=(
            "The night train has a dining car and showers, and reaches the coast at seven in the morning.",
            "The sandy beach of Ferrol Bay is quiet outside August, and the train station is nearby.",
            "The bars at the old harbour play music until four in the morning.",
            "A quiet pebble beach, ten minutes on foot from the train, without bars, boats or loudspeakers.",
            "The monastery lies in silence above the valley and can be reached by car alone.",
            "The most famous beach of the island: three kilometres of sun beds, water slides and beach clubs.",
            "The left-luggage office of the station closes at ten in the evening.",
        ),
        instruction="Given a wish of a traveller, retrieve places that fulfil all of it",
        other_instruction="Given a wish of a traveller, retrieve places for people who like parties",
    ),
    PlaygroundExample(
        name="Many languages",
        query="日本で一番高い山は何ですか",
        documents=(
            "東京は日本の首都で、およそ1400万人が住んでいる。",
            "Der Fuji ist mit 3776 Metern der höchste Berg Japans.",
            "富士山は日本で一番高い山で、標高は3776メートルである。",
            "El Aconcagua es la montaña más alta de América.",
            "信濃川は日本で一番長い川である。",
            "Mount Fuji is the highest mountain of Japan.",
            "エベレストは世界で一番高い山である。",
            "琵琶湖は滋賀県にあり、日本で一番大きい湖である。",
        ),
        instruction="",
        other_instruction="Given a question, retrieve only passages in English that answer it",
    ),
)
