"""The tab in Chinese."""

# ruff: noqa: E501  (a line of Chinese is wider than its characters)

from demo_app_decoder_generator.how import HOW

ZH_CN = {
    "Text generator": "文本生成",
    "A decoder-only Transformer writes token by token, and lets you stand inside the loop.": (
        "仅解码器的 Transformer 逐个 token 地写，你可以走进这个循环里看。"
    ),
    "Shakespeare, letter by letter": "莎士比亚，逐字母",
    "Tang poems, Chinese": "唐诗，中文",
    "SmolLM2 135M Instruct: chat": "SmolLM2 135M Instruct：对话",
    "GPT-2, 124M": "GPT-2，1.24 亿参数",
    "DistilGPT2, 82M": "DistilGPT2，8200 万参数",
    "Qwen2.5 0.5B Instruct: chat, Chinese too": "Qwen2.5 0.5B Instruct：对话，也会中文",
    # what is asked
    "Prompt": "提示",
    "Title or first line": "题目或首句",
    "The text to go on with. Shift+Enter generates.": "要接着写的文本。按 Shift+回车生成。",
    "Form of the poem": "诗的体裁",
    "The first line is the title; what follows it, or a first line with its comma, begins the poem.": (
        "第一行是题目；后面的内容，或者带逗号的首句，就是诗的开头。"
    ),
    "Five characters a line": "五言",
    "Seven": "七言",
    "Free": "不限",
    "Generate": "生成",
    "Stop": "停止",
    "Settings": "设置",
    "Temperature": "温度",
    "0 is greedy: the likeliest token, always.": "0 即贪心：总是取最可能的 token。",
    "Top-p": "Top-p",
    "The likeliest tokens that together reach p.": "只保留概率合计达到 p 的最可能的 token。",
    "Top-k (0: all)": "Top-k（0：全部）",
    "Min-p": "Min-p",
    "Repetition penalty": "重复惩罚",
    "Tokens at most": "最多 token 数",
    "Seed (none: random)": "种子（空：随机）",
    "Stop at (one text a line)": "遇到即停（每行一段）",
    "Romeo speaks": "罗密欧开口",
    "To be": "生存还是毁灭",
    "五言: 春夜": "五言：春夜",
    "七言: 送友人": "七言：送友人",
    "首句": "首句",
    "A fact": "一个事实",
    "It learned letters, not words: names, lines and speeches are its own idea of what comes next.": (
        "它学的是字母，不是单词：人名、诗行和台词，都是它自己觉得接下来该写的东西。"
    ),
    "Does it know the line? Hamlet is not in what it was trained on. Set the temperature to 0 and see it loop.": (
        "它知道这句台词吗？训练数据里没有《哈姆雷特》。把温度设为 0，看它怎样绕圈子。"
    ),
    "A poem of five characters a line for a title: “spring night”.": "给一个题目，写一首五言诗。",
    "Seven characters a line: “seeing off a friend”. Count them.": "每行七个字，数数看。",
    "A first line without a title. The famous next one was in the training data: does it come?": (
        "只有首句，没有题目。那句有名的下文就在训练数据里：它写得出来吗？"
    ),
    "135 million parameters know capitals. Step by step: how sure was it, and in which layer did Paris appear?": (
        "1.35 亿个参数认得各国首都。逐步来看：它有多大把握，Paris 是在哪一层出现的？"
    ),
    "Lesson": "看点",
    "Text": "文本",
    "Speed": "速度",
    "temperature {value}": "温度 {value}",
    "seed {number}": "种子 {number}",
    "{count} M parameters": "{count} M 参数",
    "{count} tokens": "{count} 个 token",
    "first after {count} ms": "第一个用时 {count} ms",
    "{count} tokens/s": "每秒 {count} 个 token",
    "waits for its turn": "等待轮到它",
    "place {number} in line": "排在第 {number} 位",
    "left out, since the model does not know them: {characters}": "已略去模型不认识的字符：{characters}",
    "the prompt was shortened from the left to its last {kept} of {count} tokens": (
        "提示从左边截短，只留 {count} 个 token 中的最后 {kept} 个"
    ),
    "{note}.": "{note}。",
    "step {count} ms": "这一步 {count} ms",
    "Written beforehand. Press Generate for another; Stop ends it.": (
        "这是事先写好的。按“生成”另写一段；按“停止”结束。"
    ),
    "Go on from here": "从这里接着写",
    # stand inside the loop
    "### Stand inside the loop": "### 走进循环",
    "Step by step": "逐步",
    "Start at the prompt": "从提示开始",
    "Take the likeliest": "取最可能的",
    "Draw one": "抽一个",
    "Take back": "退回",
    "Text so far": "目前的文本",
    "Start, then choose each next token yourself.": "先开始，然后自己选每一个 token。",
    "Candidates": "候选",
    "No token yet.": "还没有 token。",
    "What may come next: choose one, and the text goes on with it": "接下来可能是什么：选一个，文本就从它接着写",
    "by the network": "网络给出的",
    "as it is drawn": "实际抽取的",
    "all others": "其余所有",
    "{before} by the network, {after} drawn": "网络给出 {before}，抽取 {after}",
    "{before} by the network, never drawn": "网络给出 {before}，不会被抽到",
    "take": "选用",
    "Look inside": "看看内部",
    "Layer": "层",
    "Head": "头",
    "Attention of the last token": "最后一个 token 的注意力",
    "Where “{token}” looks before the next token: {layer}, {head}": (
        "写下一个 token 之前，“{token}”看向哪里：{layer}，{head}"
    ),
    "all layers": "所有层",
    "all heads": "所有头",
    "layer {number}": "第 {number} 层",
    "head {number}": "第 {number} 个头",
    "Start at the prompt in 'Step by step'; the pictures follow each token.": (
        "请先在“逐步”里从提示开始；图会跟着每个 token 更新。"
    ),
    "All heads, each a row of stripes from the first token to the last: choose one": (
        "所有的头，每行条纹从第一个 token 到最后一个：点选一个"
    ),
    "Logit lens": "Logit lens",
    "What each layer would say next, at the last {count} tokens": "每一层会接着写什么，在最后 {count} 个 token 处",
    "After the last token, from the embedding to the last layer:": "最后一个 token 之后，从嵌入到最后一层：",
    "certain · underlined: what really came": "确定 · 下划线：真正出现的",
    "embedding": "嵌入",
    "after": "之前是",
    "{layer}, after {token}:": "{layer}，在 {token} 之后：",
    "The logit lens (nostalgebraist 2020) reads each layer's output as if it were the last one's. The embedding mostly "
    "says its own token again; the answer comes together on the way up.": (
        "Logit lens（nostalgebraist，2020）把每一层的输出当作最后一层的来读。嵌入层大多只是重复自己的 token；"
        "答案是在往上走的过程中逐渐成形的。"
    ),
    "{share} rests on the first token, where heads look that have nothing to look for (an attention sink: Xiao et al. "
    "2023). The colours are scaled to the others.": (
        "{share} 落在第一个 token 上：没什么可找的头就看那里（attention sink，Xiao 等，2023）。颜色按其余部分缩放。"
    ),
    "The last {shown} of {count} tokens are drawn; {share} rests on them.": (
        "共 {count} 个 token，画出最后 {shown} 个；{share} 落在它们上面。"
    ),
    "Surprise": "意外程度",
    "Any text": "任意文本",
    "Each token is coloured by how little the model expected it: -log p.": (
        "每个 token 按模型对它的意外程度着色：-log p。"
    ),
    "How surprising is it?": "有多意外？",
    "Paste a poem, a headline, nonsense; misspell a word.": "贴一首诗、一个标题、一段胡话；或者故意写错一个词。",
    "There is nothing that the network can read.": "这里没有网络能读的内容。",
    "How much each piece surprised": "每一段有多意外",
    "foreseen": "在意料之中",
    "as if guessed blindly": "如同瞎猜",
    "Most:": "最意外的：",
    "The most surprising, in nats (-log p)": "最意外的，单位 nat（-log p）",
    "likeliest:": "最可能的：",
    "no token is for this; it was left out": "没有对应的 token，已略去",
    "nothing is before it": "它之前什么也没有",
    "One token alone has nothing before it; write more.": "单独一个 token 之前什么也没有；请多写一点。",
    "{count} tokens scored": "{count} 个 token 计分",
    "{count} nats": "{count} nat",
    "{count} nats per token": "每个 token {count} nat",
    "perplexity {value}": "困惑度 {value}",
    "{count} bits per character": "每个字符 {count} 比特",
    "the rest of the text was not read": "其余文本没有读",
    "no token for:": "没有 token 的字符：",
    "Greedy or sampled": "贪心或采样",
    "The prompt above, twice in the same batch: the likeliest token always, and drawn with the settings.": (
        "上面的提示在同一批里写两遍：一遍总取最可能的 token，一遍按设置抽取。"
    ),
    "Write both": "两种都写",
    "Greedy": "贪心",
    "Sampled": "采样",
    "Chat": "对话",
    "Conversation": "对话",
    "Your message": "你的消息",
    "Say something; Enter sends.": "说点什么；按回车发送。",
    "Send": "发送",
    "Clear": "清空",
    "For checkpoints that were tuned to chat (SmolLM2, Qwen2.5), with their own template. They are small: fluent, often "
    "wrong.": "适用于为对话微调过的权重（SmolLM2、Qwen2.5），使用它们自己的模板。它们很小：说得流利，却常常出错。",
    "Why a cache": "为什么要缓存",
    "Each new token needs the keys and values of all before it. Kept, a step reads one token; thrown away, it reads the "
    "whole text again.": (
        "每个新 token 都需要它之前所有 token 的键和值。留着，一步只读一个 token；丢掉，就得把全文重读一遍。"
    ),
    "Measure both": "两种都测",
    "Milliseconds a token": "每个 token 的毫秒数",
    "Takes about ten seconds; the plot grows.": "大约十秒；曲线会逐渐画出来。",
    "Nothing measured yet.": "还没有测量。",
    "What one more token costs": "多写一个 token 的代价",
    "with the cache: one token is read": "有缓存：只读一个 token",
    "without: all tokens are read again": "无缓存：全部 token 重读",
    "ms per token": "每个 token 的 ms",
    "At {count} tokens: {cached} ms with the cache, {uncached} ms without, {times} times as long.": (
        "{count} 个 token 时：有缓存 {cached} ms，无缓存 {uncached} ms，是前者的 {times} 倍。"
    ),
    "At {count} tokens: {cached} ms with the cache, {uncached} ms without.": (
        "{count} 个 token 时：有缓存 {cached} ms，无缓存 {uncached} ms。"
    ),
    "No token looks ahead, so what was computed for the tokens before never changes: the cache keeps their keys and "
    "values, and a step reads one token. Without it each step reads the whole text again.": (
        "没有 token 会往后看，所以为前面的 token 算出的东西不会再变：缓存保存它们的键和值，一步只读一个 token。"
        "没有缓存，每一步都得重读全文。"
    ),
    "Why decoder-only": "为什么只用解码器",
    "Decoder-only": "仅解码器",
    "Decoder only": "仅解码器",
    "Encoder and decoder": "编码器加解码器",
    "Who may look at whom: a row looks at the filled cells": "谁可以看谁：一行看的是填色的格子",
    "One stack, one pass: prompt (P) and answer (A) are one sequence, so every weight serves reading and writing, and "
    "one task, the next token, trains on all of it.": (
        "一摞层，一趟算完：提示（P）和答案（A）是同一个序列，所以每个权重既管读也管写，"
        "并且只用“下一个 token”这一个任务，就能在全部文本上训练。"
    ),
    "No token looks ahead. What was computed for a token never changes, so its keys and values can be kept: the cache. "
    "A new token costs one row of the triangle, not the whole triangle again.": (
        "没有 token 会往后看。为一个 token 算出的东西不会再变，所以它的键和值可以留着：这就是缓存。"
        "一个新 token 只花三角形里的一行，而不是整个三角形重来。"
    ),
    "The price: a word of the prompt does not see the words after it. An encoder lets them see each other, once, before "
    "the answer begins, and keeps its own weights for it. That suits tasks with a fixed input, such as translation, and "
    "each answer token then reads from two places.": (
        "代价：提示里的词看不到它后面的词。编码器让它们在答案开始之前互相看一遍，并为此保有自己的权重。"
        "这适合输入固定的任务，例如翻译；而答案的每个 token 就要从两处读取。"
    ),
    "A conversation grows at its end only: a decoder goes on where it stopped, an encoder would read all again.": (
        "对话只在末尾增长：解码器从停下的地方继续，编码器则要从头再读一遍。"
    ),
    "one mask: itself and before": "一个掩码：自己和之前的",
    "encoder:": "编码器：",
    "all prompt": "整个提示",
    "decoder:": "解码器：",
    "itself and before": "自己和之前的",
    "decoder looks": "解码器看",
    "at the encoder": "编码器",
    "How it works": "工作原理",
    # what is wrong
    "The prompt is empty; write at least one character.": "提示是空的；请至少写一个字符。",
    "The text is empty; paste or write one.": "文本是空的；请粘贴或写一段。",
    "The message is empty; write something to answer.": "消息是空的；请写点什么。",
    "Nothing was taken yet; start, and choose a token.": "还没有选过 token；请先开始，再选一个。",
    "Nothing is looked at yet; press 'Start at the prompt' first.": "还没有可看的内容；请先按“从提示开始”。",
    "{checkpoint} was not tuned to chat; choose SmolLM2 or Qwen2.5 in the picker.": (
        "{checkpoint} 没有为对话微调过；请在选择框里选 SmolLM2 或 Qwen2.5。"
    ),
    "The model knows none of these characters: {characters}; write others.": (
        "这些字符模型一个也不认识：{characters}；请换别的写。"
    ),
    "Nothing is written yet; press Generate first.": "还没有写出内容；请先按“生成”。",
    "The conversation has {count} turns and the limit is {limit}; press Clear and begin a new one.": "对话有 {count} 轮，上限为 {limit} 轮；请按“清空”，重新开始。",
    "The conversation has {count} characters and the limit is {limit}; press Clear and begin a new one.": "对话有 {count} 个字符，上限为 {limit} 个；请按“清空”，重新开始。",
    "A turn of the conversation has no role or no content; press Clear and begin a new one.": "对话中有一轮缺少角色或内容；请按“清空”，重新开始。",
    "A text can stop at {most} lines of {length} characters each, at most; shorten 'Stop at'.": "最多可在 {most} 行、每行 {length} 个字符处停止；请缩短“遇到即停”一栏。",
    "There is no form {form}; choose one of: {known}.": "没有体裁 {form}；可选：{known}。",
    "There is no token {token}; choose one from 0 to {last}.": "没有 token {token}；请选 0 到 {last} 之间的。",
    "The seed": "种子",
    "{count} others are waiting to write; please try again in a minute.": "另有 {count} 人在排队；请过一分钟再试。",
    "A stop string is empty; leave it out or write what shall end the text.": "停止文本是空的；请删去，或写上要在哪里停。",
    "The conversation is empty; write a message first.": "对话是空的；请先写一条消息。",
    "The model cannot read this conversation ({error}); begin a new one.": "模型读不了这段对话（{error}）；请另开一段。",
    "The model's chat template cannot be read ({error}); fetch the checkpoint again.": (
        "模型的对话模板读不了（{error}）；请重新下载这个权重。"
    ),
    "tokenizer_config.json in {folder} cannot be read; fetch the checkpoint again.": (
        "{folder} 中的 tokenizer_config.json 读不了；请重新下载这个权重。"
    ),
    "This checkpoint cannot be read by the generator: {reason}; choose another.": (
        "文本生成读不了这个权重：{reason}；请另选一个。"
    ),
    "This checkpoint cannot be read by the generator: its model_type is {kind}; choose another.": (
        "文本生成读不了这个权重：它的 model_type 是 {kind}；请另选一个。"
    ),
    "This checkpoint cannot be read by the generator: {name} lacks a neighbour; choose another.": (
        "文本生成读不了这个权重：{name} 缺少相邻的部分；请另选一个。"
    ),
    "its activation is not gelu_new": "它的激活函数不是 gelu_new",
    "its activation is not silu": "它的激活函数不是 silu",
    "its output matrix is not its embedding": "它的输出矩阵不是嵌入矩阵",
    "it attends in a sliding window": "它只在滑动窗口内做注意力",
    "its rotary positions are scaled": "它的旋转位置经过缩放",
    HOW: """
1. **Token。** 文本切成小块：两个内置模型按字符切，公开发布的模型按字节对（BPE）切。
2. **层。** 每个 token 的向量穿过一摞层。在每一层里，*注意力*让 token 从它之前的内容里取东西，绝不从之后取；然后一个小网络单独处理每个 token。
3. **得分。** 最后一层之后，把最后一个 token 的向量与词表里每个 token 比较：各得一个分（logit）。
4. **抽取。** softmax 把得分变成概率。*温度*把它们拉平或拉尖，*top-k*、*top-p* 和 *min-p* 砍掉不太可能的，然后抽出一个 token。
5. **再来。** 这个 token 接到文本后面，循环继续。前面的 token 提供给注意力的内容不会变，所以留着：这就是键值缓存。

使用同一个权重的访客共用一个循环：每一步读一遍权重，给每个人写一个 token。它只是接着写。它不懂真假，说错话和说对话一样流利。
""",
}
