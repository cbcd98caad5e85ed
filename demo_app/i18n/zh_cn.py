"""The host's own words in Chinese; see `demo_app.i18n`."""

from __future__ import annotations

# ruff: noqa: E501  (a line of Chinese is wider than its characters)

ZH_CN = {
    # the page
    "Model demos": "模型演示",
    "{title} is not available": "“{title}”暂不可用",
    "{provider} ({origin}), failed at {stage}. The other demos are not affected.": (
        "{provider}（{origin}），出错阶段：{stage}。其他演示不受影响。"
    ),
    "discovery": "查找",
    "import": "导入",
    "hook": "注册",
    "names": "命名",
    "build": "构建",
    "Close": "关闭",
    "Error": "出错了",
    "Restarting": "正在重启",
    "Please wait": "请稍候",
    "The server is restarting; please try again in a minute.": "服务器正在重启，请过一分钟再试。",
    "The server's disk is full; try again in a few minutes, and tell whoever runs it if it stays so.": (
        "服务器的磁盘已满，请过几分钟再试；若仍不行，请告诉管理者。"
    ),
    "Too many visitors are waiting right now; please try again in a minute.": "现在排队的人太多，请过一分钟再试。",
    "Something went wrong here. Try again; the host's log has the reason under error {number}.": (
        "这里出了点问题，请再试一次；原因记在服务器日志里，错误编号 {number}。"
    ),
    "The text has {count} characters and the limit is {limit}; shorten it.": "文本有 {count} 个字符，上限是 {limit}；请缩短。",
    # the picker and its panel
    "Checkpoint": "模型权重",
    "{title} ({size}, {license}, embedded)": "{title}（{size}，{license}，内置）",
    "{title} ({size}, {license}, on disk)": "{title}（{size}，{license}，已下载）",
    "{title} ({size}, {license}, to be fetched)": "{title}（{size}，{license}，待下载）",
    "{title} ({size}, {license}, missing)": "{title}（{size}，{license}，缺失）",
    "{title} ({size}, {license}, your own)": "{title}（{size}，{license}，你自己的）",
    "{title} ({size}, embedded)": "{title}（{size}，内置）",
    "{title} ({size}, on disk)": "{title}（{size}，已下载）",
    "{title} ({size}, to be fetched)": "{title}（{size}，待下载）",
    "{title} ({size}, missing)": "{title}（{size}，缺失）",
    "{title} ({size}, your own)": "{title}（{size}，你自己的）",
    "{title} ({license}, embedded)": "{title}（{license}，内置）",
    "{title} ({license}, on disk)": "{title}（{license}，已下载）",
    "{title} ({license}, to be fetched)": "{title}（{license}，待下载）",
    "{title} ({license}, missing)": "{title}（{license}，缺失）",
    "{title} ({license}, your own)": "{title}（{license}，你自己的）",
    "{title} (embedded)": "{title}（内置）",
    "{title} (on disk)": "{title}（已下载）",
    "{title} (to be fetched)": "{title}（待下载）",
    "{title} (missing)": "{title}（缺失）",
    "{title} (your own)": "{title}（你自己的）",
    "A folder of your own …": "自己的文件夹……",
    "Path of the folder": "文件夹路径",
    "It holds {files}, as a training writes them.": "其中有 {files}，即训练写出的文件。",
    "Use it": "使用",
    "Reading the folder": "正在读取文件夹",
    "What became of it": "结果",
    "No folder is chosen yet; write its path below the picker and press Use it.": (
        "还没有选定文件夹；请在选择框下方写出路径，再按“使用”。"
    ),
    "No path is written yet; write that of a folder which a training wrote.": (
        "还没有写路径；请写出训练所得文件夹的路径。"
    ),
    "The path {path} cannot be read ({reason}); check it, and whose it is.": (
        "路径 {path} 无法读取（{reason}）；请检查路径和权限。"
    ),
    "{path} is a file; write the path of the folder that it lies in.": "{path} 是一个文件；请写它所在文件夹的路径。",
    "There is no folder {path} on the computer that runs this page; check the path.": (
        "运行本页面的计算机上没有文件夹 {path}；请检查路径。"
    ),
    "The folder {name} lacks {files}; choose one that a training wrote.": (
        "文件夹 {name} 缺少 {files}；请选择由训练写出的文件夹。"
    ),
    "The folder {name} does not fit {demo}: {reason}; choose one that a training of this demo wrote.": (
        "文件夹 {name} 不适合“{demo}”：{reason}；请选择由本演示的训练写出的文件夹。"
    ),
    "The folder {name} does not fit {demo}; choose one that a training of this demo wrote.": (
        "文件夹 {name} 不适合“{demo}”；请选择由本演示的训练写出的文件夹。"
    ),
    "{demo} has no checkpoints, so a folder cannot be one; choose another demo.": (
        "{demo} 没有权重，因此不能使用文件夹；请换一个演示。"
    ),
    "{demo} has no checkpoint of your own of that name, or not any more; choose another, or add it again.": (
        "{demo} 没有这个名字的自有权重，或已不再有；请另选一个，或重新添加。"
    ),
    "On the GPU of this Space a checkpoint of your own cannot answer; choose another one for this.": (
        "自有权重不能在这个 Space 的 GPU 上作答；请为此另选一个。"
    ),
    "{name} lacks files by now, for its folder was changed or removed; choose another checkpoint.": (
        "{name} 的文件已不全：文件夹被改动或删除；请另选一个权重。"
    ),
    "{name} was given up meanwhile; choose another checkpoint.": "{name} 在此期间已被移除；请另选一个权重。",
    "Progress": "进度",
    "Cancel": "取消",
    "Fetch": "下载",
    "Fetch {size}": "下载 {size}",
    "Try again": "重试",
    "Wait for it": "等它下完",
    "Not on this disk yet: {size} to fetch": "尚未下载到本机：需下载 {size}",
    "size unknown": "大小未知",
    "From the Hugging Face Hub: {repo} at {revision}, licence {license}": (
        "来自 Hugging Face Hub：{repo}，版本 {revision}，许可证 {license}"
    ),
    "unknown": "未知",
    "It is being fetched already: {share} so far.": "已经在下载：目前 {share}。",
    "{title} is on this disk.": "{title} 已在本机。",
    "{done} of {total} MB": "{done} / {total} MB",
    "{count} min left": "还需 {count} 分钟",
    "{count} s left": "还需 {count} 秒",
    # visitors
    "{count} trainings wait already; come back later.": "已有 {count} 个训练在排队；请稍后再来。",
    "{count} of your requests are waiting already; try again when one of them is answered.": (
        "您已有 {count} 个请求在排队；等其中一个得到回答后再试。"
    ),
    "There is no such action here; the page's API lists those that there are.": "这里没有这个操作；页面的 API 说明列出了已有的操作。",
    "The files of {name} are not here any more; train it again.": "{name} 的文件已不在这里；请重新训练。",
    "Unload it? Who asks it next has to wait until it is loaded again.": "要卸载吗？下一个使用它的人要等它重新加载。",
    "Unload it": "卸载",
    "Keep it": "保留",
    # arguments of any event
    "{action} takes {count} values and was sent {given}; send one for each of: {names}.": (
        "{action} 需要 {count} 个值，却收到 {given} 个；请为以下每一项各发一个：{names}。"
    ),
    "{name} takes a file that was uploaded, and this one is not here; upload it again.": (
        "{name} 需要已上传的文件，而这个文件不在这里；请重新上传。"
    ),
    "{name} was sent something that it does not take; the page's API lists what it takes.": (
        "{name} 收到了不能使用的值；页面的 API 说明列出了可用的值。"
    ),
    "{action} answers a click on a part of the page; click on one.": "{action} 响应对页面某一部分的点击；请点击其中之一。",
    "{name} takes a text; send a string.": "{name} 需要文本；请发送字符串。",
    "{name} takes a file; upload one.": "{name} 需要文件；请上传一个。",
    "{name} takes true or false; send one of them.": "{name} 需要 true 或 false；请发送其中之一。",
    "{name} takes a number; send one.": "{name} 需要数字；请发送一个数字。",
    "{name} takes a number from {least} to {most}; choose one.": "{name} 需要 {least} 到 {most} 之间的数字；请选一个。",
    "{name} takes a number from {least} up; choose one.": "{name} 需要不小于 {least} 的数字；请选一个。",
    "{name} takes a number up to {most}; choose one.": "{name} 需要不大于 {most} 的数字；请选一个。",
    "{name} takes a list of choices; send one.": "{name} 需要一个选项列表；请发送列表。",
    "{name} takes one of its choices: {known}.": "{name} 只能取其选项之一：{known}。",
    "{name} takes {count} choices at most; send fewer.": "{name} 最多 {count} 个选项；请减少。",
    "Argument {number}": "第 {number} 个参数",
    # models
    "{demo} has no checkpoint {name}; choose one of: {known}.": "{demo} 没有权重 {name}；可选：{known}。",
    "{name} could not be loaded: its load returned nothing; it must return a model.": (
        "{name} 无法加载：它的 load 没有返回任何东西；它必须返回一个模型。"
    ),
    "{name} does not fit into memory; unload another model, then try again.": "{name} 内存放不下；请先卸载别的模型再试。",
    "{name} could not be loaded ({reason}); the log says more.": "{name} 无法加载（{reason}）；详情见日志。",
    "{name} waits for {other}, which has been loading for {minutes} minutes; try again later, or restart the server.": (
        "{name} 在等待 {other}，后者已加载了 {minutes} 分钟；请稍后再试，或重启服务器。"
    ),
    "build of {demo} uses a model, which nobody has asked for yet; call handle.use() in the handler of an event.": (
        "{demo} 的 build 使用了模型，而此时还没有人需要它；请在事件的处理函数中调用 handle.use()。"
    ),
    "{name} needs {need} of memory and the budget is {budget}; choose a smaller checkpoint, or raise "
    "DEMO_APP_MEMORY_BUDGET.": (
        "{name} 需要 {need} 内存，而预算只有 {budget}；请选小一点的权重，或调高 DEMO_APP_MEMORY_BUDGET。"
    ),
    "{name} needs {need}, but running requests use {used} of {budget}; try again in a minute.": (
        "{name} 需要 {need}，但正在处理的请求占用了 {budget} 中的 {used}；请过一分钟再试。"
    ),
    "{name} is not on this disk yet{size}: press Fetch below the picker, or run {command}.": (
        "{name} 尚未下载到本机{size}：请按选择框下方的“下载”，或运行 {command}。"
    ),
    # the Hub
    "Fetching {name} was cancelled.": "已取消下载 {name}。",
    "Fetching {name} was cancelled; fetch it again whenever you like.": "已取消下载 {name}；随时可以再下载。",
    "The Hub ({host}) {what}; check the network, then try again.": "Hub（{host}）{what}；请检查网络后再试。",
    "The Hub ({host}) {what} through the proxy {proxy}; check HTTPS_PROXY and the network, then try again.": (
        "经代理 {proxy} 访问 Hub（{host}）{what}；请检查 HTTPS_PROXY 和网络后再试。"
    ),
    "The proxy {proxy} wants a name and a password (407); write them into HTTPS_PROXY, as "
    "http://NAME:PASSWORD@HOST:PORT.": (
        "代理 {proxy} 要求用户名和密码（407）；请写进 HTTPS_PROXY，形如 http://NAME:PASSWORD@HOST:PORT。"
    ),
    "The proxy {proxy} does not let us through to the Hub ({reason}); ask who runs it, or set NO_PROXY.": (
        "代理 {proxy} 不放行到 Hub 的连接（{reason}）；请询问其管理员，或设置 NO_PROXY。"
    ),
    "The certificate of the Hub ({host}) is not trusted here, as behind a proxy that looks into connections; set "
    "SSL_CERT_FILE to a file that has the proxy's.": (
        "这里不信任 Hub（{host}）的证书，例如代理会检查连接内容；请把 SSL_CERT_FILE 设为含有该代理证书的文件。"
    ),
    "The Hub does not take the token in HF_TOKEN (401), it may have expired, and {name} is not for everybody; make a "
    "new one at {tokens}.": (
        "Hub 不接受 HF_TOKEN 中的令牌（401），可能已过期，而 {name} 并非对所有人开放；请在 {tokens} 新建一个。"
    ),
    "{folder} is on a file system without locks ({reason}); set HF_HOME to a folder on a disk of this machine.": (
        "{folder} 所在的文件系统不支持锁（{reason}）；请把 HF_HOME 设为本机磁盘上的文件夹。"
    ),
    "HF_ENDPOINT is {value}, which is no address; write for example https://huggingface.co, or unset it.": (
        "HF_ENDPOINT 是 {value}，不是地址；请写成例如 https://huggingface.co，或取消设置。"
    ),
    "{variable} names {path}, which has no certificates that can be read; correct it, or unset it.": (
        "{variable} 指向 {path}，其中没有可读的证书；请改正，或取消设置。"
    ),
    "The Hub cannot be asked: {problem}, or unset it.": "无法访问 Hub：{problem}；也可取消设置。",
    "cannot be reached": "连接不上",
    "does not answer": "没有响应",
    "{name} is not on this disk and HF_HUB_OFFLINE is set; unset it, then try again.": (
        "{name} 不在本机，而 HF_HUB_OFFLINE 已设置；请取消该设置再试。"
    ),
    "The Hub stopped sending {file} of {name}; try again in a minute.": (
        "Hub 中途停止发送 {name} 的 {file}；请过一分钟再试。"
    ),
    "The Hub broke off while sending {file} of {name}; try again in a minute.": (
        "Hub 发送 {name} 的 {file} 时中断；请过一分钟再试。"
    ),
    "The Hub keeps breaking off while sending {file} of {name}; try again later.": (
        "Hub 发送 {name} 的 {file} 时一再中断；请稍后再试。"
    ),
    "The Hub answered with an error of its own ({status}); try again in a minute.": (
        "Hub 自身出错（{status}）；请过一分钟再试。"
    ),
    "The Hub has no repository {name} for us; check its name, or set HF_TOKEN if it is private.": (
        "在 Hub 上找不到仓库 {name}；请检查名称，若是私有仓库请设置 HF_TOKEN。"
    ),
    "{name} has no commit {commit}; the pin is wrong: update the plugin.": (
        "{name} 没有提交 {commit}；固定的版本有误，请更新插件。"
    ),
    "{name} has no file {file} at {commit}; update the plugin.": "{name} 在 {commit} 没有文件 {file}；请更新插件。",
    "The Hub does not give {name} to everybody ({status}): accept its terms on its page if it has any, make an access "
    "token in the settings of your Hub account, and set HF_TOKEN.": (
        "Hub 不对所有人开放 {name}（{status}）：如有使用条款，请先在其页面上接受，"
        "再到 Hub 账号设置里创建访问令牌，并设置 HF_TOKEN。"
    ),
    "The Hub has had too many requests from here; try again in {count} s, or set HF_TOKEN for a higher limit.": (
        "从这里发往 Hub 的请求太多；请 {count} 秒后再试，或设置 HF_TOKEN 以提高上限。"
    ),
    "The Hub has had too many requests from here; try again in a few minutes, or set HF_TOKEN for a higher limit.": (
        "从这里发往 Hub 的请求太多；请几分钟后再试，或设置 HF_TOKEN 以提高上限。"
    ),
    "The Hub has had too many requests from here; try again in a few minutes.": (
        "从这里发往 Hub 的请求太多；请几分钟后再试。"
    ),
    "The Hub refuses {name} ({status}); see its page there, then try again.": (
        "Hub 拒绝提供 {name}（{status}）；请查看它的页面后再试。"
    ),
    "What answers for the Hub is not one; check HF_ENDPOINT and the proxy, then try again.": (
        "应答的并不是 Hub；请检查 HF_ENDPOINT 和代理后再试。"
    ),
    "The Hub sent another number of bytes of {file} than it announced; try again in a minute.": (
        "Hub 发来的 {file} 与它声明的字节数不符；请过一分钟再试。"
    ),
    "{name} could not be fetched ({reason}); try again, and see the log.": (
        "{name} 下载失败（{reason}）；请再试一次，并查看日志。"
    ),
    "{title} could not be fetched ({reason}); the log says more.": "{title} 下载失败（{reason}）；详情见日志。",
    "{folder} cannot be written; set HF_HOME to a folder that can, then try again.": (
        "{folder} 无法写入；请把 HF_HOME 设到可写的文件夹后再试。"
    ),
    "{name} could not be written to {folder} ({reason}); check the disk.": (
        "{name} 无法写入 {folder}（{reason}）；请检查磁盘。"
    ),
    "{name} arrived damaged twice ({files}) and was removed: something on the way changes it, or the plugin's sha256 is "
    "wrong; try another network, then tell the plugin's author.": (
        "{name} 两次下载都已损坏（{files}），已删除：可能在途中被改动，或插件里的 sha256 有误；"
        "请换个网络再试，再告知插件作者。"
    ),
    "HF_TOKEN has a character that no token has; copy the token again, whole, and set HF_TOKEN.": (
        "HF_TOKEN 里有不该有的字符；请重新完整复制令牌并设置 HF_TOKEN。"
    ),
    "HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it, then try again.": (
        "HF_HUB_OFFLINE 已设置，无法上传；请取消该设置再试。"
    ),
    "Checkpoint {name} lacks {files}; reinstall the plugin.": "权重 {name} 缺少 {files}；请重新安装插件。",
    "You no longer wait for {title}; others do, and it goes on for them.": "你不再等待 {title}；别人还在等，下载会继续。",
    "asking the Hub": "正在询问 Hub",
    "checking": "正在校验",
    "waiting for another download of the same files": "正在等待同样文件的另一个下载",
    "{name} needs {needed} MB in {folder} and {free} MB are free; make room, or set HF_HOME to a folder on another "
    "disk.": ("{name} 需要在 {folder} 占用 {needed} MB，而只剩 {free} MB；请腾出空间，或把 HF_HOME 设到别的磁盘。"),
    # pieces of tabs
    "average": "平均",
    "There is no {choice}; choose {average}, or a number from 1 to {count}.": (
        "没有 {choice}；请选{average}，或 1 到 {count} 的编号。"
    ),
    "little": "弱",
    "much": "强",
    "negative": "负",
    "positive": "正",
    "layer \\ head": "层 \\ 头",
    "Layer {layer}, head {head}": "第 {layer} 层第 {head} 头",
    "Strongest:": "最强：",
    "Largest:": "最大：",
    "from": "从",
    "to": "到",
    "Point at a cell, or move with the arrow keys, to read its weight.": "把指针移到格子上，或用方向键移动，即可读出权重。",
    # pictures and tables that visitors upload
    "Nothing is uploaded yet; choose a file.": "还没有上传文件；请选择一个。",
    "The upload is not on this server any more; upload it again.": "上传的文件已不在服务器上；请重新上传。",
    "The file is empty (zero bytes); upload the picture again.": "文件是空的（0 字节）；请重新上传图片。",
    "This {kind} file is damaged or not complete; upload it again, or save it anew.": (
        "这个 {kind} 文件已损坏或不完整；请重新上传，或重新保存。"
    ),
    "There is not enough memory for this picture; make it smaller.": "内存不足，处理不了这张图片；请缩小后再试。",
    "The picture has more than {count} million pixels; make it smaller.": "图片超过 {count} 百万像素；请缩小。",
    "The picture has {width} x {height} pixels, {count} million, and the limit is {limit} million; make it smaller.": (
        "图片有 {width} x {height} 像素，即 {count} 百万，上限是 {limit} 百万；请缩小。"
    ),
    "{name} is not a CSV file that can be read ({error}); export it again as CSV.": (
        "{name} 不是能读的 CSV 文件（{error}）；请重新导出为 CSV。"
    ),
    "{name} has a cell of more than {count} characters; shorten it, or close the quotation mark before it.": (
        "{name} 有一个单元格超过 {count} 个字符；请缩短，或补上它前面的引号。"
    ),
    "{name} has more than {rows} rows; split it into smaller files.": "{name} 超过 {rows} 行；请拆成小一些的文件。",
    "{name} has a header but no rows; add some.": "{name} 只有表头，没有数据行；请补上。",
    "{name} has no column named {column} (its columns: {columns}); rename or add one.": (
        "{name} 没有名为 {column} 的列（它的列：{columns}）；请改名或添加。"
    ),
    "{name} is larger than {size} MB; split it into smaller files.": "{name} 超过 {size} MB；请拆成小一些的文件。",
    "{name} is encoded in UTF-16; save it as UTF-8.": "{name} 是 UTF-16 编码；请另存为 UTF-8。",
    "{name} is a binary file, not a CSV; export the table as CSV.": "{name} 是二进制文件，不是 CSV；请把表格导出为 CSV。",
    "{name} is neither UTF-8 nor GB18030 text; save it as UTF-8.": (
        "{name} 既不是 UTF-8 也不是 GB18030 文本；请另存为 UTF-8。"
    ),
    "{name} does not exist; check the path.": "{name} 不存在；请检查路径。",
    "{name} cannot be read ({error}); check the file.": "{name} 读不了（{error}）；请检查文件。",
    "{name} has {count} columns named {column}; rename all but one.": (
        "{name} 有 {count} 列都名为 {column}；请只留一列，其余改名。"
    ),
    # one's own examples
    "There are no data yet; choose a file.": "还没有数据；请选择文件。",
    "There is no CSV, and one with the columns {columns} is needed; add it.": (
        "没有 CSV，而这里需要一个带 {columns} 列的 CSV；请补上。"
    ),
    "There are {count} tables ({names}); give one.": "有 {count} 个表格（{names}）；请只给一个。",
    "There are {count} pictures and the limit is {limit}; take fewer.": "有 {count} 张图片，上限是 {limit}；请减少一些。",
    "The pictures lie in no folders; put those of each class into one, or add a CSV with the columns image and label.": (
        "图片没有放在文件夹里；请把每一类放进一个文件夹，或附上带 image 和 label 列的 CSV。"
    ),
    "None of the pictures of class {label} is there (the first is {name}); add them, or leave their rows out.": (
        "类别 {label} 的图片一张都没有（第一张是 {name}）；请补上，或删去这些行。"
    ),
    "None of the pictures of class {label} can be read (the first is {name}); save them anew, or leave them out.": (
        "类别 {label} 的图片一张都读不了（第一张是 {name}）；请重新保存，或去掉它们。"
    ),
    "None of the rows can be used: {problem}": "没有一行能用：{problem}",
    "row {row} has no label; write one.": "第 {row} 行没有标签；请补上。",
    "row {row} has a label of {count} characters; use {limit} at most.": (
        "第 {row} 行的标签有 {count} 个字符；最多 {limit} 个。"
    ),
    "row {row} has no text; write some.": "第 {row} 行没有文本；请补上。",
    "row {row} names no picture; write its name.": "第 {row} 行没有图片名；请补上。",
    "row {row}: {name} is not among the pictures; add it, or correct the name.": (
        "第 {row} 行：图片里没有 {name}；请补上，或改正名称。"
    ),
    "row {row}, {name}: {problem}": "第 {row} 行，{name}：{problem}",
    "picture {number}, {name}: {problem}": "第 {number} 张图片，{name}：{problem}",
    "picture {number}, {name}, lies in no folder; put it into that of its class.": (
        "第 {number} 张图片 {name} 不在文件夹里；请放进它那一类的文件夹。"
    ),
    "No row names {names}; add rows for pictures that are to count.": "没有哪一行提到 {names}；要用的图片请补上行。",
    "More than one label has {texts}; correct what is a slip.": "{texts} 有不止一个标签；若是笔误请改正。",
    "{first} (and {count} more)": "{first}（另有 {count} 个）",
    "4 examples are needed at least, 2 of each class, and {count} can be used; add some.": (
        "至少需要 4 个样本，每类 2 个，现在能用的有 {count} 个；请补充。"
    ),
    "Do {names} mean the same? Say so first.": "{names} 是同一个意思吗？请先说明。",
    "All examples are of the class {label}; add some of another.": "所有样本都属于类别 {label}；请补充另一类的样本。",
    "There are {count} classes and the limit is {limit}; check what stands as labels.": (
        "有 {count} 个类别，上限是 {limit}；请检查标签列的内容。"
    ),
    "A class needs 2 examples at least, and there is only one of {names}; add some, or leave it out.": (
        "每类至少需要 2 个样本，而 {names} 只有一个；请补充，或去掉这一类。"
    ),
    # the tab "Fine-tune"
    "Fine-tune": "微调",
    "Teach a checkpoint classes of your own. What you upload and train stays yours and is deleted when you leave.\n\n"
    "### 1. Your examples": "教模型认识你自己的类别。你上传和训练的一切只属于你，离开后即删除。\n\n### 1. 你的样本",
    "### 2. Who learns": "### 2. 谁来学习",
    "### 3. Train": "### 3. 训练",
    "### 4. What came of it": "### 4. 结果",
    "Your examples": "你的样本",
    "Your data": "你的数据",
    "A CSV with the columns text and label.": "一个带 text 和 label 列的 CSV。",
    "A ZIP with a folder of pictures for each class; or pictures, and a CSV with the columns image and label.": (
        "一个 ZIP，每类图片一个文件夹；或者若干图片，外加一个带 image 和 label 列的 CSV。"
    ),
    "Pictures, one by one or in a ZIP, and a CSV with the columns image, text and label.": (
        "若干图片（逐个或打包成 ZIP），外加一个带 image、text 和 label 列的 CSV。"
    ),
    "Use an example": "用现成的例子",
    "{title} has no example; choose a file of your own.": "{title} 没有现成的例子；请选择你自己的文件。",
    "Are they the same?": "它们是同一类吗？",
    "Are they the same? Answer yes or no.": "它们是同一类吗？请回答是或否。",
    "Yes, one class": "是，同一类",
    "No, different classes": "不是，不同的类",
    "{count} examples": "{count} 个样本",
    "{count} classes": "{count} 个类别",
    "{count} left out": "略去 {count} 个",
    "the largest class has {count} times as many as the smallest": "最大的类是最小的 {count} 倍",
    "Share of each class": "各类所占比例",
    "{count} of them": "{count} 个",
    "and {count} more classes": "另有 {count} 个类别",
    "and {count} more such sentences": "另有 {count} 条类似提示",
    "Begin with": "从这里开始",
    "Checkpoints on this disk.": "本机上的权重。",
    "Strategies": "策略",
    "Several are tried one after the other, and compared.": "可选多个，依次尝试并比较。",
    "freeze: only the last layer learns; the quickest": "freeze：只有最后一层学习，最快",
    "layers: those that you choose learn": "layers：由你选定的层学习",
    "layerwise: all learn, the first layers slowly; a good start": "layerwise：全部学习，前面的层慢一些，适合先试",
    "lora: small additions learn, the weights stay": "lora：只学习小的附加部分，原权重不动",
    "full: everything learns at one rate": "full：全部以同一速率学习",
    "gradual: one layer more each epoch, from the last": "gradual：从最后一层起，每轮多学一层",
    "scratch: random weights, to see what the checkpoint is worth": "scratch：随机权重，用来看看原权重值多少",
    "Layers that learn": "要学习的层",
    "Names, or patterns such as `layers.2.*`": "层名，或 `layers.2.*` 这样的模式",
    "Epochs": "轮数",
    "Fewer if it gets no better.": "不再变好就提前结束。",
    "More settings": "更多设置",
    "Learning rate": "学习率",
    "0: what suits the strategy": "0：按策略取合适的值",
    "Decay": "衰减",
    "Of layerwise and gradual: a layer's rate, in shares of that of the layer after it": (
        "用于 layerwise 和 gradual：一层的学习率与后一层之比"
    ),
    "Rank": "秩",
    "Of lora: the size of the additions": "用于 lora：附加部分的大小",
    "Plan": "方案",
    "Add examples, and you see here which layers will learn.": "加入样本后，这里会显示哪些层将学习。",
    "Which layers learn, and how fast": "哪些层学习，有多快",
    "Which layers learn, and how fast: their learning rates; – stays as it is": (
        "哪些层学习，有多快：各层学习率；“–”表示保持不变"
    ),
    "layer": "层",
    "parameters": "参数",
    "trained": "训练",
    "learning rate": "学习率",
    "all layers": "所有层",
    "{count} examples to learn from": "{count} 个样本用于学习",
    "{count} kept back to measure on": "留出 {count} 个用于评测",
    "{count} steps at most": "最多 {count} 步",
    "it ends after {count} minutes": "满 {count} 分钟即结束",
    "gradual: each epoch one layer more learns, from the last to the first.": (
        "gradual：每轮多学一层，从最后一层到第一层。"
    ),
    "lora: what learns are small additions beside the weights; they are merged in the end.": (
        "lora：学习的是权重旁的小附加部分，最后并入权重。"
    ),
    "There is no strategy {name}; choose from: {known}.": "没有策略 {name}；可选：{known}。",
    "Layers are named by {count} patterns at most, of {length} characters; use fewer.": (
        "最多用 {count} 个模式指定层，每个不超过 {length} 个字符；请减少。"
    ),
    "Regular expressions are for the command line; name layers, or use a glob such as layers.2.*": (
        "正则表达式只用于命令行；请写层名，或 layers.2.* 这样的模式"
    ),
    "No strategy is chosen; choose one or more.": "还没有选策略；请选一个或多个。",
    "No checkpoint is chosen to begin with; choose one.": "还没有选起始权重；请选一个。",
    "{name} is not on this disk yet; fetch it with the picker above, or choose another.": (
        "{name} 尚未下载到本机；请用上方的选择框下载，或另选一个。"
    ),
    "{name} is no number; write one from {least} to {most}.": "{name}不是数字；请写 {least} 到 {most} 之间的数。",
    "{name} is {value}; choose from {least} to {most}.": "{name}是 {value}；请选 {least} 到 {most} 之间的数。",
    "The learning rate": "学习率",
    "the strategy `layers` wants the names of layers; give some, as in layers.2.*": (
        "策略 `layers` 需要层名；请给出一些，如 layers.2.*"
    ),
    "no layer matches {pattern} (there are: {known}); {hint}": "没有层匹配 {pattern}（现有：{known}）；{hint}",
    "choose some of them.": "请从中选择。",
    "This would take {steps} steps and the limit here is {limit}; choose fewer epochs, fewer strategies, or fewer rows.": (
        "这需要 {steps} 步，而这里的上限是 {limit}；请减少轮数、策略或行数。"
    ),
    "Start": "开始",
    "Stop": "停止",
    "Not started yet.": "还没有开始。",
    "Starting …": "正在启动……",
    "Reading the examples and the checkpoint …": "正在读取样本和权重……",
    "{others} before yours, which then starts by itself.": "前面还有{others}，之后你的会自动开始。",
    "One training comes": "一个训练",
    "{count} trainings come": " {count} 个训练",
    "Strategy {count} of {total}": "策略 {count} / {total}",
    "epoch {count} of {total}": "第 {count} / {total} 轮",
    "Loss": "损失",
    "Accuracy": "准确率",
    "epoch": "轮",
    "examples learned from": "用于学习的样本",
    "kept back": "留出的样本",
    "One strategy": "一个策略",
    "{count} strategies": " {count} 个策略",
    "Done after {seconds} s: {count} below.": "{seconds} 秒后完成：下面是{count}的结果。",
    "Stopped after {seconds} s, with the best weights so far: {count} below.": (
        "{seconds} 秒后停止，保留至今最好的权重：下面是{count}的结果。"
    ),
    "It was stopped before anything was learned; press Start again.": "还没学到东西就停止了；请再按“开始”。",
    "A training of yours is under way already; wait for it, or stop it.": "你已有一个训练在进行；请等它结束，或停止它。",
    "The server is restarting; try again in a minute.": "服务器正在重启，请过一分钟再试。",
    "Something went wrong in the training; the host's log says what.": "训练出了问题；原因记在服务器日志里。",
    "The training ended before it was through; the machine may be short of memory. Try less.": (
        "训练没做完就结束了；可能是内存不足。请减少数据或换小一点的权重。"
    ),
    "The training needs more memory than there is; choose a smaller checkpoint or batch.": (
        "训练所需内存超过现有内存；请换小一点的权重或批次。"
    ),
    "All that you tried": "你试过的全部",
    "strategy": "策略",
    "accuracy": "准确率",
    "trained parameters": "训练的参数",
    "seconds": "秒",
    "seconds an epoch": "每轮秒数",
    "epochs": "轮数",
    "own task": "原任务",
    "most frequent class": "总答最常见的类",
    "Best: {name}.": "最好：{name}。",
    "Measured on {count} examples that were kept back.": "在留出的 {count} 个样本上评测。",
    "Own task, before → after: {what} ({count}).": "原任务，微调前 → 后：{what}（{count} 个）。",
    "labelled examples of it": "带标签的样本",
    "its answers to the examples kept back": "它对留出样本的回答",
    "Look at": "查看",
    "By class": "按类别",
    "class": "类别",
    "precision": "精确率",
    "recall": "召回率",
    "What they are, and what was said": "实际是什么，答成了什么",
    "is": "实际",
    "said": "回答",
    "What they are, and what was said: the {count} classes with the most mistakes": (
        "实际是什么，答成了什么：错误最多的 {count} 个类别"
    ),
    "All numbers": "全部数字",
    "Your text": "你的文本",
    "Your picture": "你的图片",
    "A sentence of your own": "写一句你自己的话",
    "Ask both": "问两个模型",
    "Before": "微调前",
    "After": "微调后",
    "The text is empty; write a sentence, then try again.": "文本是空的；请写一句话再试。",
    "Nothing is trained yet; press Start.": "还没有训练；请按“开始”。",
    "There is no training {number}; choose one from 1 to {count}.": "没有第 {number} 次训练；请选 1 到 {count}。",
    "Use it in this tab": "在本页使用",
    "{title} is chosen in the picker at the top of this tab.": "已在本页顶部的选择框中选中 {title}。",
    "Fine-tuned {name}": "微调 {name}",
    "Download as ZIP": "下载 ZIP",
    "Publish to the Hub": "发布到 Hub",
    "Repository": "仓库",
    "you/my-model": "you/my-model",
    "Your access token": "你的访问令牌",
    "One that may write. It is used once and kept nowhere.": "需有写权限。只用一次，不会保存。",
    "Private": "私有",
    "Publish": "发布",
    "Publishing …": "正在发布……",
    "It is on the Hub:": "已在 Hub 上：",
    "{name} is no repository; write USER/NAME.": "{name} 不是仓库名；请写成 USER/NAME。",
    "There is no token yet; make one that may write, at {place}, and paste it.": (
        "还没有令牌；请在 {place} 创建一个有写权限的令牌并粘贴。"
    ),
    "The token has a character that no token has; copy it again, whole.": "令牌里有不该有的字符；请重新完整复制。",
    "The Hub does not know this token (401); make one that may write, at {place}.": (
        "Hub 不认识这个令牌（401）；请在 {place} 创建一个有写权限的令牌。"
    ),
    "This token may not write to {name} (403): the name is somebody else's, or the token may only read; choose a name of "
    "your own account, or make a token that may write, at {place}.": (
        "这个令牌不能写入 {name}（403）：名称属于别人，或令牌只有读权限；"
        "请用你自己账号下的名称，或在 {place} 创建有写权限的令牌。"
    ),
    "{name} is on the Hub already; choose another name.": "Hub 上已有 {name}；请换个名称。",
    # the status tab
    "Status": "状态",
    "Refresh": "刷新",
    "Model to unload": "要卸载的模型",
    "Unload": "卸载",
    "{name} was unloaded.": "{name} 已卸载。",
    "{name} is in use or not loaded.": "{name} 正在使用，或者没有加载。",
    "Memory": "内存",
    "{used} of {budget} for models in use ({share}), {loads} loaded so far, {evictions} evicted. This process may use "
    "{memory} and {cpus} CPUs.": (
        "模型预算 {budget}，已用 {used}（{share}）；至今加载 {loads} 次，移出 {evictions} 次。"
        "本进程可用 {memory} 内存和 {cpus} 个 CPU。"
    ),
    "memory of models against the budget": "模型占用的内存与预算之比",
    "Checkpoints": "权重",
    "Plugins": "插件",
    "table": "表格",
    "demo": "演示",
    "checkpoint": "权重",
    "where": "位置",
    "files": "文件",
    "state": "状态",
    "memory": "内存",
    "loaded in": "加载用时",
    "last use": "最近使用",
    "plugin": "插件",
    "version": "版本",
    "demos": "演示",
    "{size} to fetch": "需下载 {size}",
    "embedded": "内置",
    "on disk": "已下载",
    "to be fetched": "待下载",
    "missing": "缺失",
    "{count} of visitors' own": "访客自有 {count} 个",
    "absent": "未加载",
    "loading": "加载中",
    "ready": "就绪",
    "failed": "失败",
    "fetching {share}": "下载中 {share}",
    "found": "已找到",
    "ok": "正常",
    "disabled": "停用",
    # examples, numbers, progress
    "Try one: each teaches something": "挑一个试试：每个都说明一点道理",
    "There is no example {number}; choose one from 0 to {last}.": "没有示例 {number}；请从 0 到 {last} 中选择。",
    "{name} is {value}; give a whole number from {least} to {most}.": "{name} 是 {value}；请给出 {least} 到 {most} 之间的整数。",
    "{name} is {value}; give a whole number from {least} up.": "{name} 是 {value}；请给出不小于 {least} 的整数。",
    "{name} is {value}; give a number from {least} to {most}.": "{name} 是 {value}；请给出 {least} 到 {most} 之间的数。",
    "{done} of {total} rows": "{total} 行中的 {done} 行",
    "This file holds text, whatever its name says; use a JPEG, PNG, GIF, WebP, BMP or TIFF.": (
        "不管文件名是什么，这个文件的内容是文本；请使用 JPEG、PNG、GIF、WebP、BMP 或 TIFF。"
    ),
    # bounds of requests and files
    "This BMP is compressed and takes long to decode; save it as PNG.": "这个 BMP 是压缩的，解码很慢；请存成 PNG。",
    "There is nothing here; open the page's first address.": "这里什么也没有；请打开页面的首个地址。",
    "The request took too long to arrive; try again over a faster connection.": "请求传得太慢；请换更快的网络再试。",
    "Files cannot be sent here from the page of another site; open this one's own page.": (
        "不能从其他网站的页面向这里发送文件；请打开本站自己的页面。"
    ),
    "Too many files are being uploaded right now; please try again in a minute.": "现在上传的文件太多，请过一分钟再试。",
    "The upload has more than {size} MB, which is the limit; choose fewer or smaller files.": (
        "上传的内容超过了 {size} MB 的上限；请选更少或更小的文件。"
    ),
    "The request has more than {size} MB, which is the limit; send less at once.": (
        "请求超过了 {size} MB 的上限；请一次少发一些。"
    ),
    "This host does not answer to the name {name}; whoever runs it can add it to DEMO_APP_ALLOWED_HOSTS.": (
        "本服务器不以 {name} 这个名字应答；管理员可以把它加到 DEMO_APP_ALLOWED_HOSTS。"
    ),
    "Too many large pictures are being read right now; try again in a minute, or take a smaller one.": (
        "现在读取的大图片太多；请过一分钟再试，或换一张小的。"
    ),
    "The pictures have {count} million pixels together and the limit is {limit} million; take fewer, or smaller ones.": (
        "这些图片共有 {count} 百万像素，上限是 {limit} 百万；请少选几张，或换小一些的。"
    ),
    "{name} holds pictures of more than {limit} million pixels in all; make them smaller, or take fewer.": (
        "{name} 里的图片总共超过 {limit} 百万像素；请缩小图片，或少放几张。"
    ),
    "{what} changed {calls}, which the host put back.": "{what} 改动了 {calls}，主机已恢复原状。",
}
