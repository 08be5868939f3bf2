"""Texts that the playground begins with; written for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A query with documents, none longer than a line, and another instruction to compare with."""

    name: str
    query: str
    documents: tuple[str, ...]
    instruction: str
    other_instruction: str


EXAMPLES = (
    Example(
        name="Git help",
        query="how do I undo my last commit",
        documents=(
            "git stash puts uncommitted changes aside, so that the working tree is clean; git stash pop brings them back.",
            "git reset --soft HEAD~1 takes back the latest commit and keeps its changes staged.",
            "git revert HEAD makes a new commit that undoes the last one, which is the safe way after a push.",
            "Simmer the rice for twelve minutes, take the pot off the heat, and leave the lid on.",
            "git commit --amend replaces the last commit by one with a new message or with more files.",
            "git tag -a v1.2 marks a commit as a release.",
            "git log --oneline shows one commit a line, the latest first.",
            "git reflog lists where HEAD was, also commits that no branch reaches any more.",
        ),
        instruction="",
        other_instruction="Given a question about git, retrieve only commands that are safe after a push",
    ),
    Example(
        name="Travel",
        query="quiet beach with a train station nearby",
        documents=(
            "The sandy beach at Ferrol Bay starts behind the railway station; outside August you will have it to yourself.",
            "The night train has a dining car and showers, and reaches the coast at seven in the morning.",
            "Bring cash: the beach bars of the old harbour play music until four and take no cards.",
            "A small pebble cove, ten minutes on foot from the local train, without bars, boats or loudspeakers.",
            "The monastery lies in silence above the valley and can be reached by car alone.",
            "The most famous beach of the island: three kilometres of sun beds, water slides and beach clubs.",
            "The station's left-luggage office closes at ten in the evening.",
        ),
        instruction="Given a wish of a traveller, retrieve places that fulfil all of it",
        other_instruction="Given a wish of a traveller, retrieve places for people who like parties",
    ),
    Example(
        name="Many languages",
        query="What is the capital of Japan?",
        documents=(
            "東京は日本の首都であり、世界最大級の都市である。",
            "Paris est la capitale de la France.",
            "Tokio ist die Hauptstadt Japans und der Sitz der Regierung.",
            "大阪は西日本最大の都市である。",
            "The capital of Japan is Tokyo.",
            "Japón tiene 47 prefecturas; su capital es Tokio.",
            "Столица Японии — город Токио.",
            "京都 was the seat of the emperor for more than a thousand years.",
        ),
        instruction="",
        other_instruction="Given a question, retrieve only passages in Japanese that answer it",
    ),
)
