"""Sentences of three topics, written for this: something to fine-tune on before one has data of one's own."""

from __future__ import annotations

from pathlib import Path

from demo_app.tables import write_csv

SENTENCES = {
    "food": (
        "The soup needs a little more salt.",
        "She baked bread with seeds and honey.",
        "We had noodles and dumplings for lunch.",
        "The cheese smells strong but tastes mild.",
        "Add the eggs one at a time and stir.",
        "My grandmother's cake is made with plums.",
        "This coffee is bitter, I want milk in it.",
        "Fry the onions until they are golden.",
        "The kitchen closes at nine, order now.",
        "He eats rice with vegetables every day.",
        "A ripe tomato is sweet and juicy.",
        "The waiter brought us a bowl of olives.",
        "I burned the pancakes again this morning.",
        "Put the dough in the oven for an hour.",
        "They drink tea with lemon and sugar.",
        "The fish was fresh and lightly grilled.",
        "Nothing on the menu is without meat.",
        "Taste the sauce before you serve it.",
        "We shared a pizza with mushrooms.",
        "The apples from the garden are sour.",
        "Breakfast is porridge with berries.",
        "He cut the carrots into thin slices.",
        "The chef boils the potatoes in broth.",
        "I would like a second helping of salad.",
        "Leave the beans in water overnight.",
    ),
    "travel": (
        "The train to the coast leaves at noon.",
        "Our flight was delayed by three hours.",
        "I lost my passport at the border.",
        "The hotel is ten minutes from the station.",
        "We took a night bus across the country.",
        "Pack light, the stairs are steep.",
        "Two tickets to the airport, please.",
        "The ferry crosses the lake twice a day.",
        "She rented a bicycle to see the old town.",
        "The map shows a path along the river.",
        "We missed our stop and walked back.",
        "His suitcase is still in another city.",
        "The museum is on the other side of the bridge.",
        "They drove for two days to the mountains.",
        "A window seat in the front, if you have one.",
        "The guide met us at the harbour.",
        "The platform was changed at the last minute.",
        "I booked a room with a view of the sea.",
        "How far is it to the next village?",
        "The taxi took a long way round.",
        "We slept in a tent beside the road.",
        "The captain asked us to fasten our belts.",
        "Her journey began in the north.",
        "You need a visa to stay longer.",
        "The tram stops right in front of the hostel.",
    ),
    "weather": (
        "It will rain in the afternoon.",
        "The fog is so thick that I see nothing.",
        "A cold wind blows from the east.",
        "Snow fell all night and covered the roofs.",
        "The sun is out and the sky is clear.",
        "Thunder woke the whole street.",
        "It was the hottest day of the summer.",
        "The clouds are getting darker.",
        "Expect frost in the valleys tomorrow.",
        "The storm broke a branch off the oak.",
        "There has been no rain for six weeks.",
        "It is mild for December.",
        "Hail as big as peas damaged the leaves.",
        "The temperature dropped by ten degrees.",
        "A light breeze makes the heat bearable.",
        "The ice on the pond is thin.",
        "It has been drizzling since the morning.",
        "The forecast says showers and gusts.",
        "After the rain there was a double rainbow.",
        "The air is humid and still.",
        "Lightning struck somewhere near.",
        "We had a dry and sunny spring.",
        "The snow melts as soon as it lands.",
        "It is freezing, close the window.",
        "The gale is over, but it stays cloudy.",
    ),
}


def write(folder: Path) -> list[Path]:
    """A CSV with the columns text and label, the topics in turn."""
    file = folder / "topics.csv"
    turns = zip(*SENTENCES.values(), strict=True)
    rows = [(text, topic) for texts in turns for text, topic in zip(texts, SENTENCES, strict=True)]
    write_csv(file, ["text", "label"], rows)
    return [file]
