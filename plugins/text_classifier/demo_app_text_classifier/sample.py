"""What guests of a cinema might write: sample data for fine-tuning.

Too few sentences to learn a language from, but enough for a checkpoint that already knows film reviews.
"""

from __future__ import annotations

from pathlib import Path

from demo_app.inputs.tables import write_csv

SENTENCES = {
    "complaint": (
        "The sound was so low that we missed half the jokes.",
        "A dull film, and the seats were broken too.",
        "I waited forty minutes for bad popcorn.",
        "The ending is a mess and the rest is boring.",
        "Nobody cleaned the hall before our show.",
        "Your website took my money and sent no ticket.",
        "The worst comedy I have seen in years.",
        "It was far too cold and the screen was dirty.",
        "We left after an hour, it was that tedious.",
        "The staff was rude and the queue never moved.",
        "The picture was out of focus until the end.",
        "A lazy sequel with a stupid plot.",
        "There was a terrible smell in the last row.",
        "They showed advertisements for half an hour.",
        "The dialogue is awful and the acting is worse.",
        "My seat was taken and no one helped.",
        "The subtitles were missing in our show.",
        "Overpriced drinks and a sad, empty story.",
        "It is loud, ugly and much too long.",
        "The film stopped twice and nobody said sorry.",
        "I am disappointed, the trailer promised more.",
        "The air conditioning was off and we all suffered.",
        "A pointless film without a single idea.",
        "The late show was cancelled without a word.",
        "The lead is wooden and the music is annoying.",
        "I found gum on my chair, disgusting.",
        "The worst evening of my week, never again.",
        "They let people in with their phones on.",
        "The story makes no sense and goes nowhere.",
        "We paid for the large hall and got the small one.",
    ),
    "praise": (
        "A wonderful evening, the film moved us all.",
        "The new seats are comfortable and the sound is great.",
        "Your staff is friendly and quick, thank you.",
        "One of the best thrillers of the year.",
        "We laughed from the first minute to the last.",
        "The old hall is beautiful and I love the red curtain.",
        "A clever script and a brilliant cast.",
        "Such a charming film for the whole family.",
        "The popcorn was fresh and the coffee excellent.",
        "I enjoyed every scene, the music is gorgeous.",
        "The picture was sharp and the colours rich.",
        "A warm, funny and honest story.",
        "Thank you for showing the classics on Sundays.",
        "The lead gives the performance of her life.",
        "It was a pleasure from beginning to end.",
        "The late show was perfect for us.",
        "The best cinema in town, we come every week.",
        "A touching film with a hopeful ending.",
        "The children loved it and so did I.",
        "Great choice of films and fair prices.",
        "A visually stunning and thoughtful drama.",
        "The talk after the film was fascinating.",
        "What a delightful surprise this comedy is.",
        "My seat was perfect, I saw everything.",
        "I am grateful for the subtitles, well done.",
        "The director has made a small masterpiece.",
        "It is fresh, exciting and beautifully shot.",
        "The staff found my scarf, how kind.",
        "We had a lovely time at the open air show.",
        "An inspiring story that is told with love.",
    ),
}


def write(folder: Path) -> list[Path]:
    """Write cinema.csv with the columns text and label, alternating between the classes; returns its path."""
    file = folder / "cinema.csv"
    pairs = zip(*SENTENCES.values(), strict=True)
    rows = [(text, label) for texts in pairs for text, label in zip(texts, SENTENCES, strict=True)]
    write_csv(file, ["text", "label"], rows)
    return [file]
