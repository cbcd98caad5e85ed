"""The text of the tab "How it works"."""

HOW = """
1. **Tokens.** The text is cut into pieces: characters for the two embedded models, byte pairs for the published ones.
2. **Layers.** Each token's vector passes a stack of layers. In each, *attention* lets a token fetch from what came
   before it, never from what comes after, and a small network then works on each token alone.
3. **Scores.** After the last layer the last token's vector is compared with every token of the vocabulary: one score
   each (logits).
4. **Draw.** Softmax makes probabilities of them. *Temperature* flattens or sharpens, *top-k*, *top-p* and *min-p* cut
   off the unlikely, and one token is drawn.
5. **Again.** The token joins the text and the loop goes on. What earlier tokens offer to attention does not change, so
   it is kept: the key-value cache.

All visitors of a checkpoint share one loop: each step reads the weights once and writes one token for everybody.
It continues text. It knows nothing of truth, and says wrong things as fluently as right ones.
"""
