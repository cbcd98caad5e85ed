"""Sentences written for this package, with the classes of the embedded checkpoints.

They measure how much of the original task a checkpoint forgets in fine-tuning.
"""

from __future__ import annotations

from demo_app.finetune.data import Example

REVIEWS = {
    "positive": (
        "A quiet, generous film that earns every one of its tears.",
        "I laughed from the first scene to the last.",
        "The two leads are wonderful together.",
        "Beautifully shot and never boring.",
        "One of the best debuts of the year.",
        "It is clever, warm and surprisingly moving.",
        "A thrilling ride with a big heart.",
        "The script is sharp and the jokes land.",
        "I would happily watch it again tomorrow.",
        "An honest and touching portrait of a family.",
        "The music alone is worth the ticket.",
        "A delight for children and grown-ups alike.",
        "She gives the performance of her life.",
        "It is hard not to love this little movie.",
        "Smart, funny and full of life.",
        "A rich and rewarding story, told with great care.",
    ),
    "negative": (
        "A long, dull evening without a single idea.",
        "The jokes are stale and the plot makes no sense.",
        "I wanted to leave after ten minutes.",
        "The acting is wooden and the dialogue is worse.",
        "A lazy sequel that nobody asked for.",
        "It is loud, empty and far too long.",
        "The ending ruins what little tension there was.",
        "A waste of a talented cast.",
        "Nothing in it is funny, sad or even interesting.",
        "The film never finds a reason to exist.",
        "Clumsy, predictable and badly edited.",
        "I have rarely been so bored in a cinema.",
        "The characters are flat and the story is a mess.",
        "An ugly film with an unpleasant message.",
        "It fails as a comedy and as a drama.",
        "A tired remake that adds nothing new.",
    ),
}
FEELINGS = {
    "sadness": (
        "i feel so alone since she moved away",
        "i feel miserable and i cannot stop crying",
        "i was left feeling empty after the funeral",
        "i feel hopeless about ever getting better",
        "i feel unwelcome in my own home",
        "i am feeling rather gloomy today",
    ),
    "joy": (
        "i feel happy and full of energy this morning",
        "i am feeling pretty confident about the exam",
        "i feel blessed to have such good friends",
        "i feel so glad that we finally won",
        "i was feeling cheerful on the way home",
        "i feel like everything is going wonderfully well",
    ),
    "love": (
        "i feel so tender towards my little son",
        "i feel a deep and loving bond with my wife",
        "i feel very caring towards the old dog",
        "i feel romantic whenever we dance together",
        "i am feeling so fond of this sweet girl",
        "i feel passionate longing for her when she is gone",
    ),
    "anger": (
        "i feel furious that they lied to me again",
        "i am feeling irritated by all this noise",
        "i feel so mad at the rude man in the shop",
        "i feel bitter and resentful about the divorce",
        "i was feeling cranky and snapped at everyone",
        "i feel outraged by the way they were treated",
    ),
    "fear": (
        "i feel terrified of the operation tomorrow",
        "i am feeling nervous about meeting her parents",
        "i feel afraid to walk home in the dark",
        "i feel anxious and shaky before every flight",
        "i was feeling scared that the dog would bite",
        "i feel so uncertain and worried about my future",
    ),
    "surprise": (
        "i feel amazed at how fast she learned it",
        "i was left feeling stunned by the news",
        "i feel shocked that he remembered my birthday",
        "i am feeling curious and a little dazed by it all",
        "i feel funny about how strange this place is",
        "i feel impressed and surprised by what they built",
    ),
}
SHOPPING = {
    "positive": (
        "质量很好，穿着很舒服，下次还来买。",
        "物流很快，包装也很仔细，非常满意。",
        "酒店干净，服务员很热情，值得推荐。",
        "水果很新鲜，又甜又多汁。",
        "屏幕清晰，运行流畅，性价比很高。",
        "这本书写得真好，一口气就读完了。",
        "味道不错，家里人都喜欢。",
        "客服很有耐心，问题很快就解决了。",
        "洗完头发很柔顺，味道也很香。",
        "房间很大，早餐丰富，住得很愉快。",
    ),
    "negative": (
        "质量太差了，用了两天就坏了。",
        "等了半个月才到，包装还是破的。",
        "房间又小又脏，隔音很差，不会再来。",
        "苹果都烂了，根本不能吃。",
        "屏幕有坏点，客服也不理人。",
        "这本书错字很多，内容空洞，浪费钱。",
        "味道很难闻，感觉是假货。",
        "衣服掉色严重，和图片完全不一样。",
        "开机很慢，经常死机，后悔买了。",
        "服务态度很差，问什么都不耐烦。",
    ),
}


def originals(labels: tuple[str, ...]) -> list[tuple[Example, ...]]:
    """The sets of examples with exactly these classes; for reviews there are two, in English and in Chinese."""
    return [
        tuple(Example(label=label, text=text, row=row) for label in found for row, text in enumerate(found[label], 1))
        for found in (REVIEWS, SHOPPING, FEELINGS)
        if set(found) == set(labels)
    ]
