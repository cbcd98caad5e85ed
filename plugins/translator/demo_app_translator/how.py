"""The text of the sub-tab "How it works"."""

HOW = """
1. **The encoder reads all of it.** Every source token may look at every other, to its left and to its right. What
   comes out, one vector a token, is the *memory*.
2. **The decoder writes.** It starts from a mark that means "begin", and gives a probability to every token of the
   target language. The one that is taken is read again, and so on until the end has been written.
3. **Between them stands cross-attention.** Each token that is being written asks (*query*) with what has been written
   so far, and the memory answers (*keys*, *values*). That is what the lines of the alignment show.

**Teacher forcing.** In training the decoder reads the true translation, whatever it would have written itself, so all
its tokens are learned in one pass. *Label smoothing* keeps a tenth of the wanted probability for all other tokens: a
network that is never quite sure translates better.

**Beam search.** The likeliest token now may lead into a bad sentence. So several beginnings are kept, the likeliest as
a whole; since each further token lowers the probability, finished ones are compared by log-probability over length.

**Why not a decoder alone?** The source can also be written in front of the target, in one row, as GPT-like models do
it. Then there is one stack and one kind of attention, it learns from the source too, and any task can be put into text.
But a source word sees only what came before it, and both languages share the same weights. On little data, where the
source is known whole before the first word is written, two stacks do better.

Vaswani et al. 2017 (*Attention is all you need*) had this very network, for this very task.
"""
