"""The text of the sub-tab "How it works"."""

HOW = """
A convolution slides a small window over the picture, and at each place multiplies what it sees by learned numbers and
adds up. The **standard** one looks at K × K places of *all* channels at once: `K · K · C_in · C_out` multiplications a
place. The **depthwise-separable** one splits this in two:

1. **Depthwise** (`conv_dw`): each channel has one K × K filter of its own and looks at space alone.
2. **Pointwise** (`conv_pw`): a 1 × 1 convolution mixes the channels, and looks at no neighbours.

Together `C_in · (K · K + C_out)` multiplications a place, a share of `1 / C_out + 1 / K²` of the standard one: with
K = 3 and many channels about a ninth. What is given up: the standard convolution may use another spatial pattern for
every *pair* of channels; here every output channel must do with the same filtered pictures, mixed differently.

After each convolution comes **BatchNorm**, which in training brings a channel to mean 0 and variance 1; in use it is a
fixed scale and shift, and is folded into the convolution's numbers. **ReLU** cuts off what is negative. At the end each
channel becomes one number, its mean over all places, and a linear map turns these into a score for each class.

*MobileNetV1* (Howard et al. 2017) is 13 such blocks in a row; *MobileNetV2* (Sandler et al. 2018) widens before the
depthwise step and narrows after it. *Xception* (Chollet 2017) left out the activation between the two steps, as our own
networks do. Ours look at a picture four times, also mirrored and a pixel aside, and say the mean.

*Grad-CAM* (Selvaraju et al. 2017) asks which places speak for a class: it weighs the channels of a block by how much
the class's score would rise with each, adds them up and keeps what is positive. It says where, not why.

The third network has one head of **self-attention** over the places of the picture: `x + γ · attention(x)`, with a γ
that began at 0 (SAGAN, Zhang et al. 2019), so that training decided how much of it to use.
"""
