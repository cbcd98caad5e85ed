"""The tab in Chinese."""

# ruff: noqa: E501  (a line of Chinese is wider than its characters)

from demo_app_translator.how import HOW

ZH_CN = {
    "Translator": "翻译",
    "An encoder reads a sentence, a decoder writes its translation: see where it looks and what else it considers.": (
        "编码器读一句话，解码器写出译文：看看它在看哪里，还考虑过什么。"
    ),
    "English to German: what pictures show": "英译德：图片里的内容",
    "English to Chinese: everyday sentences": "英译中：日常句子",
    "OPUS-MT, Chinese to English": "OPUS-MT，中译英",
    "OPUS-MT, English to Chinese": "OPUS-MT，英译中",
    # the text and its translation
    "Text": "原文",
    "In the language that the checkpoint reads. Each sentence is translated by itself.": (
        "请使用所选权重能读的语言。每句话单独翻译。"
    ),
    "Beams": "束宽",
    "1 is greedy.": "1 即贪心。",
    "Length penalty": "长度惩罚",
    "Higher: longer translations.": "越大，译文越长。",
    "Translate": "翻译",
    "Stop": "停止",
    "Try one": "挑一个试试",
    "Translation": "译文",
    "About the translation": "关于这段译文",
    "greedy": "贪心",
    "{count} beams": "束宽 {count}",
    "{count} tokens in {time} ms": "{count} 个 token，用时 {time} ms",
    "log-probability {value} a token": "每个 token 的对数概率 {value}",
    "Sentence to look into": "看哪一句",
    "Layer": "层",
    "Head": "头",
    "Alignment": "对齐",
    "Which words did each word of the translation look at?": "译文的每个词在看原文的哪些词？",
    "Point at a word on the right, or tap it.": "把指针移到右边的词上，或轻点它。",
    "The translation is empty.": "译文是空的。",
    # look inside
    "Beam search": "束搜索",
    "“{word}” looked at “{source}” most: {share}": "“{word}”看得最多的是“{source}”：{share}",
    "The beam search, 1 beam, step by step": "束搜索，束宽 1，一步一步来",
    "The beam search, {count} beams, step by step": "束搜索，束宽 {count}，一步一步来",
    "Chosen: “{text}”, log-probability {value}.": "选中：“{text}”，对数概率 {value}。",
    "end": "结束",
    "score {value}": "得分 {value}",
    "“{token}”: probability {share}, sum of log-probabilities {total}": (
        "“{token}”：概率 {share}，对数概率之和 {total}"
    ),
    "“{token}”: probability {share}, sum of log-probabilities {total}, score {score}": (
        "“{token}”：概率 {share}，对数概率之和 {total}，得分 {score}"
    ),
    "Each box: a token, its probability, and below it the log-probability of all tokens so far. A box with a thick frame "
    "ends a translation; its score is that sum over (length ^ length penalty).": (
        "每个方框是一个 token 及其概率，下面是到此为止所有 token 的对数概率之和。粗框表示译文到此结束；"
        "它的得分是该和除以（长度 ^ 长度惩罚）。"
    ),
    "Attention map": "注意力图",
    "The same as a map: rows write, columns are read": "同样的内容画成图：行是写的，列是读的",
    "Your own translation": "你的译文",
    "Write your own translation of the text above (one sentence). The network reads it token by token, as it does in "
    "training, and says how much it expected each: *teacher forcing*.": (
        "请自己翻译上面的原文（一句）。网络像训练时那样逐个 token 地读它，并说出每个 token 有多在意料之中：*teacher forcing*。"
    ),
    "Your translation": "你的译文",
    "What does the network think of it?": "网络怎么看？",
    "Surprise": "意外程度",
    "Change a word, and see which ones surprise it.": "改一个词，看看哪些词让它意外。",
    "How much each token of your translation surprised the network": "你的译文里每个 token 让网络意外的程度",
    "expected": "意料之中",
    "surprising": "意外",
    "Log-probability of the whole: {total}, {each} a token.": "整句的对数概率：{total}，每个 token {each}。",
    "Where it differs": "不同之处",
    "yours": "你的",
    "its probability": "它的概率",
    "the network's choice there": "网络在此处的选择",
    "It would have written the same.": "它会写得一模一样。",
    "Encoder-decoder or decoder-only?": "编码器-解码器，还是仅解码器？",
    "Two designs": "两种设计",
    "Encoder-decoder: where this network looked (mean of all heads)": "编码器-解码器：这个网络看了哪里（所有头的平均）",
    "Decoder-only: where one could look": "仅解码器：它可以看哪里",
    "What differs": "区别",
    "for this sentence": "对于这句话",
    "encoder-decoder": "编码器-解码器",
    "decoder-only of as many layers": "同样层数的仅解码器",
    "a source word looks at": "原文的词看",
    "all {count} source tokens": "原文全部 {count} 个 token",
    "itself and what came before": "自己和之前的",
    "a target word looks at": "译文的词看",
    "all source tokens (cross-attention) and the target so far": "原文全部 token（交叉注意力）和已写出的译文",
    "all that came before": "之前的一切",
    "source and target share weights": "原文和译文共用权重",
    "no: two stacks": "否：两摞层",
    "yes: one stack": "是：一摞层",
    "learns from": "从哪里学",
    "the target's tokens": "译文的 token",
    "every token, source too": "每个 token，包括原文",
    "numbers kept while it writes": "写的时候保留的数",
    "{count} (keys and values)": "{count}（键和值）",
    "How it works": "工作原理",
    # what is wrong
    "There is no sentence {number}; choose one from 0 to {last}.": "没有第 {number} 句；请选择 0 到 {last} 中的一句。",
    "The text has {count} sentences and the limit is {limit}; shorten it.": (
        "文本有 {count} 句，上限为 {limit} 句；请缩短。"
    ),
    "The text has {count} tokens and the limit is {limit}; shorten it.": (
        "文本有 {count} 个 token，上限为 {limit} 个；请缩短。"
    ),
    "The {seconds} seconds for one translation are over: {done} of {count} sentences were translated, the last one "
    "perhaps in part; shorten the text.": (
        "一次翻译的 {seconds} 秒已用完：{count} 句中译出了 {done} 句，最后一句可能不完整；请缩短文本。"
    ),
    "There is nothing to translate; write a sentence.": "没有可翻译的内容；请写一句话。",
    "There is no translation to judge; write one.": "没有可评判的译文；请写一句。",
    "This checkpoint reads {language}, and most of the text is in letters it does not know.": (
        "这个权重读的是{language}，而文本大多是它不认识的文字。"
    ),
    "English": "英文",
    "Chinese": "中文",
    HOW: """
1. **编码器读完全文。** 原文的每个 token 都可以看其他所有 token，左边右边都行。输出的每个 token 一个向量，合起来就是*记忆*。
2. **解码器来写。** 它从一个表示“开始”的标记出发，给目标语言的每个 token 一个概率。选中的那个再读进来，如此往复，直到写出结束标记。
3. **两者之间是交叉注意力。** 正在写的每个 token 带着已经写出的内容去问（*query*），记忆来回答（*key*、*value*）。对齐图里的连线画的就是它。

**Teacher forcing。** 训练时，不管解码器自己会写什么，读进来的都是正确的译文，因此所有 token 一趟就能学完。*标签平滑*把目标概率的十分之一留给其他 token：从不过于自信的网络翻译得更好。

**束搜索。** 眼下最可能的 token 也许会把句子带偏。所以同时保留几个开头，取整体上最可能的；又因为每多一个 token 概率就会降低，完成的译文要按“对数概率除以长度”来比较。

**为什么不只用解码器？** 也可以像 GPT 类模型那样，把原文写在译文前面，排成一行。这样只有一摞层、一种注意力，原文也能用来学习，任何任务都可以写成文本。但原文的词只能看到它前面的内容，两种语言还要共用同一套权重。数据少、而且动笔之前原文已经完整时，两摞层做得更好。

Vaswani 等（2017，*Attention is all you need*）提出的正是这个网络，做的正是这件事。
""",
}
