"""What people have to know of a colorizer before they use it."""

from __future__ import annotations

from pipeline.contract import About

ABOUT = About(
    use="Gives gray photos colours that look plausible, for people to look at: illustration, play, a first draft for "
    "somebody who colours by hand.",
    limits=(
        "The colours are guessed, not found again: a gray photo does not say which colour a thing had. Not for "
        "evidence, medicine, science or restoration; say of a coloured picture that it is one.",
        "It is paler than the truth. Trained on a few hundred photos, its error is about that of one constant tint on "
        "every picture: compare with the naive rule below.",
        "It sees each picture squashed to a small square, so small things get no colour of their own. Brightness and "
        "detail are those of the gray photo, unchanged.",
        "It knows the kinds of things it was trained on. Others, such as people where it learnt from pets, get the "
        "colours of those, and no gate has looked at them.",
        "Classes with few pictures are only reported: how it does on them is not known.",
    ),
)
