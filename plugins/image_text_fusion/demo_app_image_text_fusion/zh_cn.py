"""The tab in Chinese."""

# ruff: noqa: E501  (a line of Chinese is wider than its characters)

from demo_app_image_text_fusion.how import HOW

ZH_CN = {
    "Picture and question": "看图问答",
    "One Transformer reads picture and question together, and shows which word looks at which patch.": (
        "同一个 Transformer 一起读图片和问题，并显示哪个词在看哪个图块。"
    ),
    "Ours: questions about coloured shapes": "自训练：关于彩色图形的问题",
    "ViLT, any photograph, 3,129 answers": "ViLT，任意照片，3129 种答案",
    "ViLT, does this caption fit this picture?": "ViLT，这句描述配这张图吗？",
    # the question and its answer
    "Picture": "图片",
    "Question": "问题",
    "English or Chinese. Enter asks.": "英文或中文。按回车提问。",
    "Ask": "提问",
    "New scene": "换一个场景",
    "shape of a colour": "某种颜色的形状",
    "colour beside": "旁边的颜色",
    "is there beside": "旁边有没有",
    "how many of the same shape": "同样形状有几个",
    "colour of the nearest": "最近者的颜色",
    "shape beside": "旁边的形状",
    "One thing alone: the word for the colour should find its patch.": "只有一样东西：表示颜色的词应该找到它的图块。",
    "Two steps: find the thing that is named, then look on that side of it.": (
        "两步：先找到提到的东西，再看它的那一侧。"
    ),
    "Yes or no. Make it blind: what does it say then, and how surely?": (
        "是或否。让它看不见图：这时它怎么说，有多大把握？"
    ),
    "Counting: nothing is named but one thing and 'the same'.": "数数：只提到一样东西和“同样的”。",
    "离……最近: distances between all things, from positions alone.": "离……最近：只凭位置，求所有东西之间的距离。",
    "The same network reads Chinese: do the same heads look at the same things?": (
        "同一个网络也读中文：同样的头在看同样的东西吗？"
    ),
    "The scene's own answer: {answer}. The network is right.": "场景自带的答案：{answer}。网络答对了。",
    "The scene's own answer: {answer}. The network is wrong.": "场景自带的答案：{answer}。网络答错了。",
    "Lesson": "看点",
    "Answer": "答案",
    "About the answer": "关于这个答案",
    "{count} M parameters, {precision}": "{count} M 参数，{precision}",
    "forward pass {count} ms": "前向计算 {count} ms",
    "{words} words and {patches} patches of {side} pixels": "{words} 个词和 {patches} 个 {side} 像素的图块",
    "The question is longer than {count} tokens; the rest was not read.": "问题超过 {count} 个 token；其余没有读。",
    "It does not know: {words}.": "它不认识：{words}。",
    "Click a patch: which words does it look at?": "点一个图块：它在看哪些词？",
    "Words: click one": "词：点选一个",
    "“{word}” looks at these patches, and at these words ({where})": "“{word}”在看这些图块和这些词（{where}）",
    "The framed patch ({place}) looks at these words, and at these patches ({where})": (
        "框出的图块（{place}）在看这些词和这些图块（{where}）"
    ),
    "row {row}, column {column}": "第 {row} 行第 {column} 列",
    "all layers, all heads": "所有层，所有头",
    "all layers, head {head}": "所有层，第 {head} 头",
    "layer {layer}, all heads": "第 {layer} 层，所有头",
    "layer {layer}, head {head}": "第 {layer} 层，第 {head} 头",
    "rollout, all heads": "rollout，所有头",
    "rollout, head {head}": "rollout，第 {head} 头",
    "Attention shows what was fetched from where, not why the answer came out. The experiment: blind and deaf.": (
        "注意力说明从哪里取了什么，而不是为什么得出这个答案。真正的实验：蒙上眼睛，堵住耳朵。"
    ),
    "Layer": "层",
    "rollout": "rollout",
    "Head": "头",
    # does fusion do something?
    "### Does fusion do something?": "### 融合真的有用吗？",
    "Blind and deaf": "蒙眼与堵耳",
    "Ask again without the picture, and without the question": "去掉图片再问一次，去掉问题再问一次",
    "What is left of the answer when one of the two is missing?": "少了其中一样，答案还剩下什么？",
    "What is left of the answer": "答案还剩下什么",
    "picture and question": "图片和问题",
    "blind (no picture)": "蒙眼（没有图片）",
    "deaf (no question)": "堵耳（没有问题）",
    "says": "回答",
    "with": "概率",
    "gives “{answer}”": "给“{answer}”",
    "Score of “{answer}”": "“{answer}”的得分",
    "Draw your own": "自己画",
    "Draw circles, squares, triangles; fill them": "画圆、正方形、三角形，并涂满",
    "Ask about my drawing": "问问我的画",
    "Tags": "标签",
    "A fixed list of questions, asked in one batch: the picture is read once for all of them.": (
        "一批固定的问题一起问：图片只读一次，供所有问题使用。"
    ),
    "Tag the picture above": "给上面的图片打标签",
    "No tags yet.": "还没有标签。",
    "answer": "答案",
    "score": "得分",
    "Captions": "描述",
    "Which caption fits the picture above? For ViLT for captions, which is on the Hub.": (
        "哪句描述配上面的图？需要用于图文匹配的 ViLT，它在 Hub 上。"
    ),
    "Captions, one a line": "描述，每行一句",
    "Rank the captions": "给描述排序",
    "Nothing is ranked yet.": "还没有排序。",
    "How well each caption fits": "每句描述有多贴切",
    "And which picture fits a caption?": "反过来，哪张图配一句描述？",
    "Pictures, or a ZIP of them": "若干图片，或它们的 ZIP 包",
    "Caption": "描述",
    "Rank the pictures": "给图片排序",
    "Pictures": "图片",
    "How well the caption fits each": "描述与每张图有多贴切",
    "Video": "视频",
    "Frames are taken evenly from the clip (ten minutes at most), each is asked the question, and the mean of their "
    "scores answers for the clip.": (
        "从短片（最长十分钟）里均匀取帧，对每一帧提同样的问题，用得分的平均值作为整段的答案。"
    ),
    "Clip": "短片",
    "Frames": "帧数",
    "Ask about the clip": "问问这段短片",
    "Answer for the clip": "整段的答案",
    "The answer over time": "答案随时间的变化",
    "The circle goes past the square: when does the answer change?": "圆从正方形旁边经过：答案什么时候变？",
    "time": "时间",
    "Frame by frame ({count} of at most {most} frames)": "逐帧（{count} 帧，最多 {most} 帧）",
    "Many questions": "批量提问",
    "A CSV with the columns `image` and `text` (at most {rows} rows), and the pictures that it names, as files or in a "
    "ZIP, come back with the columns `answer`, `score` and `problem`.": (
        "上传一个带 `image` 和 `text` 列的 CSV（最多 {rows} 行），以及其中提到的图片（单个文件或 ZIP 包），"
        "返回时会多出 `answer`、`score` 和 `problem` 三列。"
    ),
    "The CSV": "CSV 文件",
    "The pictures, or a ZIP of them": "图片，或它们的 ZIP 包",
    "Answer every row": "回答每一行",
    "The answers": "答案",
    "Summary": "汇总",
    "No table yet.": "还没有表格。",
    "Reading your table": "正在读取表格",
    "{count} of {all} rows were answered.": "{all} 行中回答了 {count} 行。",
    "Row {number}: {problem}": "第 {number} 行：{problem}",
    "Answers": "答案",
    "How it works": "工作原理",
    # what is wrong
    "The question is empty; ask something about the picture.": "问题是空的；请就图片问点什么。",
    "Nothing is drawn yet; draw a few filled shapes.": "还没有画；请画几个涂满的图形。",
    "There are {count} captions and the limit is {limit}; leave some out.": "共有 {count} 条说明，上限为 {limit} 条；请去掉一些。",
    "There are no captions; write some, one a line.": "没有描述；请写几句，每行一句。",
    "There are no pictures yet; choose some, or a ZIP of them.": "还没有图片；请选择几张，或它们的 ZIP 包。",
    "Questions about pictures need a checkpoint; choose one in the picker.": (
        "回答关于图片的问题需要权重；请在选择框中选一个。"
    ),
    "This checkpoint cannot be read here: it is {type}, {kind}; choose another.": (
        "这个权重在这里无法读取：它是 {type}，{kind}；请另选一个。"
    ),
    "This checkpoint compares captions and answers no questions; choose another.": (
        "这个权重只比较描述，不回答问题；请另选一个。"
    ),
    "This checkpoint answers questions and does not rank captions; choose ViLT for captions.": (
        "这个权重只回答问题，不给描述排序；请选择用于描述的 ViLT。"
    ),
    "the picture {name} is not among the uploaded ones.": "上传的图片里没有 {name}。",
    "the question is empty.": "问题是空的。",
    "{count} frames cannot be looked at; choose 1 to {most}.": "无法查看 {count} 帧；请选 1 到 {most}。",
    "The clip has no frames; choose another.": "短片里没有帧；请另选一个。",
    "The clip is {length} long (minutes:seconds) and the limit is {limit}; cut it.": (
        "短片长 {length}（分：秒），上限是 {limit}；请剪短。"
    ),
    "The clip is damaged and gives no frame; export it again.": "短片已损坏，读不出任何帧；请重新导出。",
    "Decoding the clip takes too long; make it shorter or smaller.": "解码短片耗时太长；请剪短或缩小。",
    "This file is no video that can be read; use an MP4, WebM, MOV, MKV, AVI or GIF.": (
        "这个文件不是能读的视频；请用 MP4、WebM、MOV、MKV、AVI 或 GIF。"
    ),
    "This file has no moving picture; use an MP4, WebM, MOV, MKV, AVI or GIF.": (
        "这个文件没有画面；请用 MP4、WebM、MOV、MKV、AVI 或 GIF。"
    ),
    "The clip has {width} x {height} pixels and the limit is {limit} in all; shrink it.": (
        "短片有 {width} x {height} 像素，总数上限是 {limit}；请缩小。"
    ),
    HOW: """
1. **两个提取器。** 问题切成词，每个词从一张表里查出一个向量。图片切成图块，每个图块变成同样宽度的向量。每个向量再加上两个：一个表示位置，一个表示来自图还是文。
2. **一个编码器。** 所有向量排成一行，在每一层里谁都可以看谁：词看图块，图块看词。层里没有任何东西区分谁是谁：这是*早期融合*，与 ViLT（Kim 等，2021）相同。
3. **一个答案。** 第一个 token `[CLS]` 的向量变成每个答案的得分。

**蒙眼与堵耳。** 如果没有图片答案也不变，那是问题泄露了答案；没有问题也不变，那就是图片泄露的。只有两种情况下都保不住的，才真正是*融合*来的。

*Rollout*（Abnar 和 Zuidema，2020）把各层的注意力相乘，其中每一块有一半留给自己：最后站在这里的东西，穿过所有层之后，是从哪里来的？

场景和问题都由程序生成，所以每个答案都是已知的；内置网络的本事，是在它从未见过的种子所生成的场景上测出来的。
""",
}
