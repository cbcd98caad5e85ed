"""The text of the sub-tab "How it works"."""

HOW = """
1. **Two extractors.** The question is cut into words, and each word becomes a vector from a table. The picture is cut
   into patches, and each patch becomes a vector of the same width. Each gets two more vectors added: one for its place,
   and one that says which of the two it is from.
2. **One encoder.** All vectors stand in one row, and in every layer each may look at every other: words at patches,
   patches at words. Nothing in the layers knows which is which: *early fusion*, as ViLT (Kim et al. 2021) has it.
3. **One answer.** The vector of the first token, `[CLS]`, becomes a score for each answer.

**Blind and deaf.** If the answer did not change without the picture, the question would have given it away; without the
question, the picture. Only what falls in both cases has been *fused*.

*Rollout* (Abnar and Zuidema 2020) multiplies the layers' attention, half of each being what a piece keeps of itself:
where has what stands here at the end come from, through all layers?

The scenes and questions are made by a program, so every answer is known; what the embedded network can do is measured
on scenes of seeds that it has never seen.
"""
