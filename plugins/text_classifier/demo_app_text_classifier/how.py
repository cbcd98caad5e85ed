"""The text of the sub-tab "How it works"."""

HOW = """
1. **Tokens.** The text is cut into pieces of a fixed vocabulary: frequent words stay whole, rare ones fall into parts.
   `[CLS]` is put in front.
2. **Embedding.** Each token becomes a vector that was learned in training. The order of the words enters here too: by
   a vector for each place, or by mixing each token with its neighbours.
3. **Attention.** In every layer each token takes a weighted mean of what all tokens offer. A head is one such set of
   weights, and the heat map shows them: a row is the token that looks, and each row adds up to 1.
4. **Pooling.** After the last layer the tokens' vectors become one vector for the whole text.
5. **Answer.** One linear map turns it into a score for each label, and softmax turns scores into probabilities.

The colours ask backwards. *Gradient × input*: how would the answer's score move if a token began to fade? *Attention*:
how much of a token was looked at? *Take a word away*: what does the model say without it? They need not agree, and
where they do not, the last one is the experiment.

The model reads words and knows nothing else: not who wrote them, not whether they are true or meant.
"""
