"""The tab in Chinese."""

# ruff: noqa: E501  (a line of Chinese is wider than its characters)

from demo_app_text_classifier.how import HOW

ZH_CN = {
    "Text classifier": "文本分类",
    "A Transformer encoder reads a sentence, names its sentiment or emotion, and shows why.": (
        "Transformer 编码器读一句话，判断它的褒贬或情绪，并说明理由。"
    ),
    "Film reviews, English: sentiment": "英文影评：褒贬",
    "Tweets, English: six emotions": "英文推文：六种情绪",
    "Shop reviews, Chinese: sentiment": "中文购物评论：褒贬",
    "DistilBERT, English: sentiment": "DistilBERT，英文：褒贬",
    "DistilBERT, twelve languages: sentiment": "DistilBERT，十二种语言：褒贬",
    "DistilBERT, English: news topics": "DistilBERT，英文：新闻主题",
    # the text and its answer
    "Text": "文本",
    "Up to {limit} characters, of which the model reads at most {tokens} tokens. Enter classifies.": (
        "最多 {limit} 个字符，模型最多读取其中 {tokens} 个 token。按回车即分类。"
    ),
    "Classify": "分类",
    "Two halves": "前后两半",
    "Negation": "否定",
    "Irony": "反讽",
    "A feeling without its name": "没有说出口的情绪",
    "Mixed feelings": "百感交集",
    "中文: 好评": "中文：好评",
    "中文: 转折": "中文：转折",
    "Each half says something else. Which words win? Swap the halves and see.": (
        "前后两半各说各的。哪些词占了上风？把两半对调再看看。"
    ),
    "“Not bad” is praise. Did the model learn that, or does it only hear “bad”? Take “not” away and compare.": (
        "“not bad”是夸奖。模型学会了这一点，还是只听见了“bad”？去掉“not”比较一下。"
    ),
    "Kind words, unkind meaning. Does the model notice, or does it fall for “thank you”?": (
        "话很客气，意思却不客气。模型听得出来，还是被“thank you”骗了？"
    ),
    "No word names the feeling. Which one does the model guess from? Take it away: what is the next guess?": (
        "没有一个词直接说出情绪。模型是凭哪个词猜的？把它去掉：接下来它会猜什么？"
    ),
    "Two feelings, one answer: look at the bars, then take “lonely” away.": (
        "两种情绪，一个答案：先看条形图，再把“lonely”去掉。"
    ),
    "A hotel guest's praise. Chinese has no spaces: see how the text is cut into tokens.": (
        "酒店客人的好评。中文没有空格：看看文本是怎样切成 token 的。"
    ),
    "Good thing, slow delivery. “就是” turns the sentence around: which side wins?": (
        "东西好，快递慢。“就是”让句子转了个弯：哪一边占上风？"
    ),
    "Answer": "答案",
    "Colour the words by": "按什么给词着色",
    "Gradient × input": "梯度 × 输入",
    "Attention": "注意力",
    "Words": "词",
    "What speaks for “{answer}”": "支持“{answer}”的词",
    "{name}: what speaks for “{answer}”": "{name}：支持“{answer}”的词",
    "Attention received, {where}": "受到的注意力，{where}",
    "against": "反对",
    "for": "支持",
    "Attention shows where the model looked, not why it decided: other attentions can give the same answer (Jain and "
    "Wallace 2019), though they are not mere noise (Wiegreffe and Pinter 2019). Check with 'Take a word away'.": (
        "注意力说明模型看了哪里，而不是它为什么这样判断：换一套注意力也可能得出同样的答案"
        "（Jain 和 Wallace，2019），不过它也并非纯粹的噪声（Wiegreffe 和 Pinter，2019）。可以用“去掉一个词”来验证。"
    ),
    "Gradient × input is a first-order estimate: what the answer's score would lose if the token faded into the text's "
    "average token. It is exact only for a linear model. Check with 'Take a word away'.": (
        "“梯度 × 输入”是一阶估计：如果这个 token 淡化成全文的平均 token，答案的得分会损失多少。"
        "只有对线性模型它才是精确的。可以用“去掉一个词”来验证。"
    ),
    "{count} M parameters": "{count} M 参数",
    "forward pass {count} ms": "前向计算 {count} ms",
    "{count} tokens": "{count} 个 token",
    "the rest of the text was not read": "其余文本没有读",
    "the first {count} are drawn": "只画出前 {count} 个",
    "{count} not in its vocabulary": "{count} 个不在词表里",
    "so the answer is a guess": "所以答案只是猜测",
    # look inside
    "### Look inside": "### 看看内部",
    "Attention heads": "注意力头",
    "Layer": "层",
    "Head": "头",
    "Heads": "各个头",
    "All heads: choose one": "所有的头：点选一个",
    "Who looks (row) at whom (column): {where}": "谁（行）在看谁（列）：{where}",
    "looks at": "看向",
    "all layers, all heads, averaged": "所有层、所有头的平均",
    "all layers, head {head}, averaged": "所有层第 {head} 头的平均",
    "layer {layer}, all heads, averaged": "第 {layer} 层所有头的平均",
    "layer {layer}, head {head}": "第 {layer} 层第 {head} 头",
    "Take a word away": "去掉一个词",
    "Take each word of the text away, one at a time": "逐个去掉文本里的词",
    "Occlusion": "遮挡",
    "Which word carries the answer? Press the button.": "答案靠的是哪个词？按下按钮看看。",
    "What each word adds to “{answer}” ({share})": "每个词给“{answer}”（{share}）加了多少",
    "takes away": "减分",
    "adds": "加分",
    "The strongest, in points of the probability of “{answer}”": "影响最大的词，单位为“{answer}”概率的百分点",
    "without it: {answer}": "没有它就是：{answer}",
    "The first {count} words were tried.": "只试了前 {count} 个词。",
    "Compare two": "比较两句",
    "Text A": "文本 A",
    "Text B": "文本 B",
    "Compare": "比较",
    "Answer to A": "A 的答案",
    "Answer to B": "B 的答案",
    "Difference": "差别",
    "Change one word in B and see what it moves.": "在 B 里改一个词，看看什么变了。",
    "B less A, in points of probability": "B 减 A，单位为概率的百分点",
    "Label a file": "批量标注",
    "A CSV file (also `.csv.gz`) with a column `text` and at most {rows} rows comes back with the columns `label` and "
    "`probability` (`predicted_label` where it has labels: they are compared with the answers). Cells that a "
    "spreadsheet would run as a formula get a leading apostrophe.": (
        "上传一个带 `text` 列、最多 {rows} 行的 CSV 文件（也可以是 `.csv.gz`），返回时会多出 `label` 和 `probability` 两列"
        "（如果原来就有标签，则为 `predicted_label`，并与答案比较）。会被电子表格当作公式执行的单元格，前面会加一个撇号。"
    ),
    "Your file": "你的文件",
    "Label every row": "标注每一行",
    "The same with answers": "带答案的文件",
    "Summary": "汇总",
    "No file yet.": "还没有文件。",
    "Answers": "答案",
    "1 row": "1 行",
    "{count} rows": "{count} 行",
    "Reading your file": "正在读取文件",
    "{share} of the rows have the label that the file gives.": "{share} 的行与文件给出的标签一致。",
    "Not compared with the file's labels: {reason}": "没有与文件的标签比较：{reason}",
    "How it works": "工作原理",
    # what is wrong
    "The text": "文本",
    "{name} is empty; write a sentence, then try again.": "{name}是空的；请写一句话再试。",
    "The text has nothing that the model can read; write a sentence, then try again.": (
        "文本里没有模型能读的内容；请写一句话再试。"
    ),
    "There is only one word; write at least two, so that something is left to classify.": (
        "只有一个词；请至少写两个，去掉一个之后才有东西可分类。"
    ),
    "This checkpoint has no classes yet; teach it some at Fine-tune, or choose another.": (
        "这个权重还没有类别；请在“微调”里教它一些，或另选一个。"
    ),
    "Choose a checkpoint, and a method from: {methods}.": "请选择一个权重，以及一种方法：{methods}。",
    "label {label} is unknown; use one of: {labels}, or its number from 0.": (
        "不认识标签 {label}；请用其中之一：{labels}，或用它从 0 开始的序号。"
    ),
    "There is no file yet; choose a CSV file with a column 'text'.": "还没有文件；请选择一个带 text 列的 CSV 文件。",
    HOW: """
1. **Token。** 文本按固定的词表切成小块：常见的词保持完整，少见的词拆成几段。最前面加上 `[CLS]`。
2. **嵌入。** 每个 token 变成一个训练中学到的向量。词序也在这里进入：要么给每个位置一个向量，要么把每个 token 与左右邻居混合。
3. **注意力。** 在每一层里，每个 token 对所有 token 提供的内容取加权平均。一套这样的权重就是一个头，热图画的就是它：一行是一个在看的 token，每行加起来是 1。
4. **池化。** 最后一层之后，各个 token 的向量合成代表全文的一个向量。
5. **答案。** 一个线性映射把它变成每个标签的得分，softmax 再把得分变成概率。

着色是倒过来问的。*梯度 × 输入*：如果一个 token 开始淡去，答案的得分会怎样变化？*注意力*：一个 token 被看了多少？*去掉一个词*：没有它，模型怎么说？三者未必一致；不一致的时候，最后一个才是真正的实验。

模型只读词，别的一概不知：不知道是谁写的，也不知道写的是真是假、是否当真。
""",
}
