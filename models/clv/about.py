"""What people have to know of a CLV model before they use it."""

from __future__ import annotations

from pipeline.contract import About

ABOUT = About(
    use="Ranks the known customers of one shop by the revenue that they will bring in the horizon after the cut-off, "
    "and plans that revenue in sum: whom to look after first, and how much to expect. For people who know the shop, "
    "beside what else they know.",
    limits=(
        "Not for decisions about a single person, such as credit, prices or terms. What is judged are the order of the "
        "customers and the sum of their revenue; the prediction for one customer is often far off.",
        "The interval from low to high and the probability to buy again are of one customer, and were judged on "
        "average: 80 % of all customers are in theirs, not of each kind of customer, and the sum of many customers is "
        "known much better than their intervals added up say. The interval starts at 0 for whoever may well not come "
        "back.",
        "Nobody is in it who did not buy up to the cut-off: it says nothing of new customers, nor does its sum.",
        "It speaks of one horizon, whose length was set before the training, and not of a whole lifetime.",
        "Learnt from one shop in one span of time. For another shop, after a change of prices or assortment, or for a "
        "season that the data do not hold, train it anew. It also learns from what the same customers did after "
        "earlier days, where the data reach back so far: what changed since is in it.",
        "The product's own network predicts at most the largest revenue that a training customer had in the horizon: "
        "it is too low for a customer beyond that.",
        "Revenue is what was bought: cancelled and returned goods and purchases without a customer id are left out, "
        "and costs are not known. Money is in the currency of the transactions.",
    ),
)
