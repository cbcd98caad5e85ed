"""The tab in Chinese."""

# ruff: noqa: E501  (a line of Chinese is wider than its characters)

from demo_app_separable_conv.how import HOW

ZH_CN = {
    "Picture classifier": "图片分类",
    "Depthwise-separable convolutions name what is in a picture, and show what the split saves.": (
        "深度可分离卷积说出图里是什么，并展示这样拆分省下了什么。"
    ),
    "Ours, ten classes: separable": "自训练，十类：可分离卷积",
    "Ours, ten classes: its dense twin": "自训练，十类：标准卷积的孪生网络",
    "Ours, ten classes: separable, with attention": "自训练，十类：可分离卷积加注意力",
    "MobileNetV1, 1,000 classes": "MobileNetV1，一千类",
    "MobileNetV2, 1,000 classes": "MobileNetV2，一千类",
    # the picture and its answer
    "Picture": "图片",
    "Classify": "分类",
    "Where did it look: at the ears, the eyes, the fur?": "它看了哪里：耳朵、眼睛，还是毛？",
    "A silhouette: no colour, no texture. What is left of a horse for a network that learned from photographs?": (
        "只有剪影：没有颜色，也没有纹理。对一个从照片里学习的网络来说，马还剩下什么？"
    ),
    "A drawing, and a class that the ten do not have. Truck or automobile would be near.": (
        "一幅画，而且不在十个类别之中。卡车（truck）或轿车（automobile）算是接近。"
    ),
    "None of the ten classes. It cannot say “none”: it shares its certainty among what it knows.": (
        "不属于十个类别中的任何一个。它说不出“都不是”，只能把把握分给它认识的那些。"
    ),
    "Ten classes have no rocket; with 1,000 it is a missile. Where it looks tells.": (
        "十个类别里没有火箭；一千类里它是导弹（missile）。看它看了哪里就明白了。"
    ),
    "Choose MobileNet in the picker: espresso, cup and saucer are classes of their own there.": (
        "请在上面选择 MobileNet：浓缩咖啡、杯子、碟子在那里各是一类。"
    ),
    "Answer": "答案",
    "About the answer": "关于这个答案",
    "{count} M parameters": "{count} M 参数",
    "forward pass {count} ms": "前向计算 {count} ms",
    "it sees {side} × {side} pixels": "它看到的是 {side} × {side} 像素",
    "not sure of anything": "没有哪个有把握",
    "Picture | where it looked": "图片 | 它看了哪里",
    "What speaks for": "什么支持",
    "In block": "在第几块",
    "{number}: {channels} channels": "{number}：{channels} 通道",
    # look inside
    "### Look inside": "### 看看内部",
    "Filters and sums": "滤波器与求和",
    "Block": "块",
    "Each has a depthwise and a pointwise half.": "每块由深度卷积和逐点卷积两半组成。",
    "Filters": "滤波器",
    "Mixed channels": "混合后的通道",
    "Sum": "求和",
    "Channel": "通道",
    "Row": "行",
    "Column": "列",
    "Depthwise filters, {size}: one a channel": "深度卷积滤波器，{size}：每个通道一个",
    "What they make of this picture, {places} places": "它们把这张图变成什么样，{places} 个位置",
    "What the pointwise convolution mixes of them: choose one to see its sum": (
        "逐点卷积把它们混合成什么：点选一个，看它的求和过程"
    ),
    "Channel {number} is the sum of these: the {count} strongest, the rest, the sum": (
        "通道 {number} 是这些项之和：最强的 {count} 项、其余各项、总和"
    ),
    "The first {shown} of {count} channels are drawn.": "共 {count} 个通道，画出前 {shown} 个。",
    "This block has a standard convolution: a filter for every pair of channels. Choose a separable checkpoint to see "
    "depthwise filters.": ("这一块是标准卷积：每一对通道都有一个滤波器。要看深度卷积滤波器，请选择可分离卷积的权重。"),
    "channel {number}": "通道 {number}",
    "channel {number} at ({row}, {column}) = {terms} {rest} ({count} more) {shift} (shift) = {total}": (
        "通道 {number} 在（{row}, {column}）处 = {terms} {rest}（其余 {count} 项）{shift}（偏移）= {total}"
    ),
    "channel {number} at ({row}, {column}) = {terms} {shift} (shift) = {total}": (
        "通道 {number} 在（{row}, {column}）处 = {terms} {shift}（偏移）= {total}"
    ),
    "the other {count}": "其余 {count} 项",
    "the other {count} and the shift": "其余 {count} 项和偏移",
    "their sum: channel {number}": "它们的和：通道 {number}",
    "shift": "偏移",
    "sum": "总和",
    "reads": "读取",
    "weight": "权重",
    "× value there": "× 该处的值",
    "= adds": "= 贡献",
    "The same at row {row}, column {column}, in numbers": "第 {row} 行第 {column} 列的同一个求和，用数字写出",
    "The network computed {computed} there, the sum above is {total}. BatchNorm is folded into weights and shift.": (
        "网络在那里算出 {computed}，上面的总和是 {total}。BatchNorm 已并入权重和偏移。"
    ),
    "What it costs": "计算量",
    "Kernel K": "卷积核 K",
    "Channels in": "输入通道",
    "Channels out": "输出通道",
    "Size (H = W)": "尺寸（H = W）",
    "Counted": "计数",
    "standard": "标准",
    "separable": "可分离",
    "ratio": "比值",
    "multiply-adds": "乘加次数",
    "parameters": "参数量",
    "Measure it on this machine": "在这台机器上实测",
    "Measure over widths": "按宽度逐个实测",
    "Measured": "实测",
    "Counted is arithmetic. How long does it take? Press Measure.": "计数只是算术。实际要多久？请按“实测”。",
    "counted": "计数",
    "measured": "实测",
    "Milliseconds on this machine, just now": "刚才在这台机器上的毫秒数",
    "Counted, the separable one should take {counted} of the time; it took {measured}: of its {total} ms, {start} ms go "
    "to starting its two steps, which takes as long for a single number: that does not shrink with the arithmetic.": (
        "按计数，可分离卷积应该只用 {counted} 的时间，实际用了 {measured}：它的 {total} ms 中有 {start} ms 用于启动两个步骤，"
        "这对单个数也一样久，不随计算量减少。"
    ),
    "Counted, the separable one should take {counted} of the time; it took {measured}, {times} times as much: a "
    "depthwise filter does {depthwise} multiply-adds for each number that it moves to or from memory and the standard "
    "convolution {dense}, so the processor waits for numbers more than it multiplies them, and two steps are started "
    "instead of one.": (
        "按计数，可分离卷积应该只用 {counted} 的时间，实际用了 {measured}，是预期的 {times} 倍：深度卷积每搬运一个数"
        "只做 {depthwise} 次乘加，标准卷积则做 {dense} 次，所以处理器更多是在等数，而不是在乘；而且要启动两个步骤，不是一个。"
    ),
    "Counted, the separable one should take {counted} of the time; it took {measured}, less than counted: the standard "
    "convolution of this shape does not come near what the processor can do (its filters may take long to fetch, or not "
    "fill its registers); not only arithmetic takes time.": (
        "按计数，可分离卷积应该只用 {counted} 的时间，实际用了 {measured}，比计数还少：这种形状的标准卷积远没有用足处理器"
        "（滤波器可能取得慢，或填不满寄存器）；花时间的不只是算术。"
    ),
    "Counted, the separable one should take {counted} of the time; it took {measured}: here time goes with arithmetic, "
    "which is the exception; try fewer channels, or a smaller size.": (
        "按计数，可分离卷积应该只用 {counted} 的时间，实际用了 {measured}：这里用时与计算量一致，这是例外；"
        "试试更少的通道或更小的尺寸。"
    ),
    "Separable as a share of standard": "可分离与标准之比",
    "Share over widths": "不同宽度下的比值",
    "channels in = channels out": "输入通道 = 输出通道",
    "separable / standard": "可分离 / 标准",
    "Twins": "孪生网络",
    "Three networks that were trained alike: separable, with standard convolutions, and with attention.": (
        "三个用同样方法训练的网络：可分离卷积、标准卷积，以及加了注意力的。"
    ),
    "Show the picture above to all three": "把上面的图片给三个网络看",
    "Is a ninth of the arithmetic a ninth as good?": "计算量只有九分之一，效果也只有九分之一吗？",
    "The same picture, the same training, the same widths": "同一张图片、同样的训练、同样的宽度",
    "The separable network needs {adds} of its twin's multiply-adds, and just now {time} of its time. Accuracy is that "
    "on {count} pictures which none of them was trained on.": (
        "可分离网络的乘加次数是孪生网络的 {adds}，刚才用时是它的 {time}。准确率是在 {count} 张三者都没训练过的图片上测得的。"
    ),
    "says": "回答",
    "probability": "概率",
    "accuracy, held out": "准确率（未参与训练的图片）",
    "file": "文件",
    "one picture, now": "刚才一张图片",
    "Attention": "注意力",
    "Click a place: who does it look at?": "点一个位置：它在看谁？",
    "γ began at 0 and ended at {gamma}: what attention fetches is multiplied by it and added. It moved the accuracy on "
    "{count} held-out pictures by {gained} points, from {plain} to {attended}: {verdict} (one standard error is {error}).": (
        "γ 从 0 开始，最后是 {gamma}：注意力取来的内容乘以它再加上去。在 {count} 张未参与训练的图片上，"
        "它让准确率变动了 {gained} 个百分点，从 {plain} 到 {attended}：{verdict}（一个标准误差是 {error}）。"
    ),
    "more than chance would give": "超出偶然的范围",
    "within what chance gives": "在偶然的范围之内",
    "Row {row}, column {column} (framed) looks most at row {top}, column {left}: {share} of its attention, {times} "
    "times an even share. To itself it gives {own}.": (
        "第 {row} 行第 {column} 列（框出）最关注第 {top} 行第 {left} 列：占其注意力的 {share}，"
        "是平均份额的 {times} 倍。留给自己的是 {own}。"
    ),
    "Attention of the framed place; all add up to 1": "框出位置的注意力，总和为 1",
    "row": "行",
    "column": "列",
    "Across": "横向",
    "Down": "纵向",
    "Attend": "查看注意力",
    "Many pictures": "批量图片",
    "Pictures, or a ZIP or TAR of them (at most {count}), come back as a CSV with the columns `file`, `folder`, "
    "`label`, `probability` and `problem`. Folders that are called as classes are compared with the answers.": (
        "上传若干图片，或者它们的 ZIP 或 TAR 包（最多 {count} 张），返回一个 CSV，"
        "列为 `file`、`folder`、`label`、`probability` 和 `problem`。以类别命名的文件夹会与答案比较。"
    ),
    "Your pictures": "你的图片",
    "Classify them all": "全部分类",
    "The answers": "答案",
    "Summary": "汇总",
    "No pictures yet.": "还没有图片。",
    "Reading your pictures": "正在读取图片",
    "{done} of {total} pictures": "{total} 张图片中的 {done} 张",
    "Answers to {count} pictures": "{count} 张图片的答案",
    "Folder (row) and answer (column), as a share of the folder": "文件夹（行）与答案（列），占文件夹的比例",
    "{share} of {count} pictures lie in a folder called as the answer.": (
        "{count} 张图片中，有 {share} 所在文件夹的名字与答案一致。"
    ),
    "{count} more could not be read; the CSV says why.": "还有 {count} 张读不了；原因见 CSV。",
    "How it works": "工作原理",
    # what is wrong
    "This block has a standard convolution, no pointwise one; choose a separable checkpoint.": (
        "这一块是标准卷积，没有逐点卷积；请选择可分离卷积的权重。"
    ),
    "There are no pictures yet; choose some, or a ZIP of them.": "还没有图片；请选择几张，或它们的 ZIP 包。",
    "The picture classifier needs a checkpoint; choose one in the picker.": "图片分类需要权重；请在选择框中选一个。",
    "{name} has no label {label}; choose one from the list.": "{name} 没有标签 {label}；请从列表中选一个。",
    "There is no block {number}; choose one from 1 to {last}.": "没有第 {number} 块；请选 1 到 {last}。",
    "There is no {name} {index}; choose one from 0 to {last}.": "没有{name} {index}；请选 0 到 {last}。",
    "channel": "通道",
    "This checkpoint has no attention; choose the one that has.": "这个权重没有注意力；请选择带注意力的那个。",
    "The kernel is {kernel}; choose one of: {known}.": "卷积核是 {kernel}；可选：{known}。",
    "Size": "尺寸",
    "across": "横向位置",
    "down": "纵向位置",
    "That is {count} G multiply-adds, too much to measure while others wait (the limit is {limit} G); make it smaller.": (
        "那是 {count} G 次乘加，别人还在等，测不了这么多（上限是 {limit} G）；请缩小。"
    ),
    HOW: """
卷积让一个小窗口在图上滑动，在每个位置把看到的数乘以学到的数再相加。**标准**卷积一次看*所有*通道上的 K × K 个位置：每个位置要做 `K · K · C_in · C_out` 次乘法。**深度可分离**卷积把它拆成两步：

1. **深度卷积**（`conv_dw`）：每个通道有自己的一个 K × K 滤波器，只看空间。
2. **逐点卷积**（`conv_pw`）：1 × 1 卷积把通道混合起来，不看邻居。

合起来是 `C_in · (K · K + C_out)` 次乘法，为标准卷积的 `1 / C_out + 1 / K²`：K = 3、通道很多时，大约是九分之一。放弃了什么呢？标准卷积可以对*每一对*通道使用不同的空间模式；而这里，每个输出通道都只能用同一批滤波后的图，只是混合的比例不同。

每个卷积之后是 **BatchNorm**：训练时它把一个通道调成均值 0、方差 1；使用时它只是固定的缩放和平移，可以并入卷积的系数。**ReLU** 把负数截掉。最后，每个通道对所有位置取平均，变成一个数，再由一个线性映射变成每个类别的得分。

*MobileNetV1*（Howard 等，2017）是 13 个这样的块排成一列；*MobileNetV2*（Sandler 等，2018）在深度卷积之前加宽、之后收窄。*Xception*（Chollet，2017）去掉了两步之间的激活函数，我们自己的网络也是如此。我们的网络会把一张图看四遍（包括镜像和平移一个像素），再取平均。

*Grad-CAM*（Selvaraju 等，2017）问的是哪些位置支持某个类别：每个通道按“它增大时该类别得分会升高多少”加权，全部相加后只保留正的部分。它说明在哪里，不说明为什么。

第三个网络在图的各个位置之间有一个**自注意力**头：`x + γ · attention(x)`，γ 从 0 开始（SAGAN，Zhang 等，2019），用多少由训练来决定。
""",
}
