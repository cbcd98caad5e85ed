"""The texts to try, and what to notice in each."""

from __future__ import annotations

from dataclasses import dataclass

from demo_app.page.lessons import Lesson
from demo_app_text_classifier.example import TEXT


@dataclass(frozen=True, kw_only=True)
class TextLesson(Lesson):
    """A lesson with the text to classify and the checkpoint that classifies it."""

    text: str
    checkpoint: str


LESSONS = (
    TextLesson(
        title="Two halves",
        text=TEXT,
        checkpoint="sst2",
        lesson="Each half says something else. Which words win? Swap the halves and see.",
    ),
    TextLesson(
        title="Negation",
        text="This film is not bad at all.",
        checkpoint="sst2",
        lesson="“Not bad” is praise. Did the model learn that, or does it only hear “bad”? "
        "Take “not” away and compare.",
    ),
    TextLesson(
        title="Irony",
        text="Two hours of my life that I will never get back, thank you so much.",
        checkpoint="sst2",
        lesson="Kind words, unkind meaning. Does the model notice, or does it fall for “thank you”?",
    ),
    TextLesson(
        title="A feeling without its name",
        text="i keep checking the door and i cannot sleep when i am home alone",
        checkpoint="emotion",
        lesson="No word names the feeling. Which one does the model guess from? Take it away: what is the next guess?",
    ),
    TextLesson(
        title="Mixed feelings",
        text="i feel so grateful for my friends but a little lonely tonight",
        checkpoint="emotion",
        lesson="Two feelings, one answer: look at the bars, then take “lonely” away.",
    ),
    TextLesson(
        title="中文: 好评",
        text="房间很干净,服务员也热情,下次还会再来。",
        checkpoint="zh_reviews",
        lesson="A hotel guest's praise. Chinese has no spaces: see how the text is cut into tokens.",
    ),
    TextLesson(
        title="中文: 转折",
        text="东西不错,就是快递太慢了。",
        checkpoint="zh_reviews",
        lesson="Good thing, slow delivery. “就是” turns the sentence around: which side wins?",
    ),
)

# The two texts that "Compare two" opens with
PAIR = ("The acting is wonderful, but the plot is thin.", "The plot is thin, but the acting is wonderful.")
