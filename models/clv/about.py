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
        "The interval from low to high is of one customer: the sum of many is known much better than their intervals "
        "added up say. It was judged on average, over all customers and by how often they bought: it may hold much "
        "more or less than 80 % of some other kind of customer. No gate judges the probability to buy again; the "
        "report shows how it came true.",
        "Nobody is in it who did not buy up to the cut-off: it says nothing of new customers, nor does its sum.",
        "It speaks of one horizon, whose length was set before the training, and not of a whole lifetime.",
        "Learnt from one shop in one span of time. For another shop, after a change of prices or assortment, or for a "
        "season that the data do not hold, train it anew. It also learns from what the same customers did after "
        "earlier days, where the data reach back so far, and so follows a change more slowly.",
        "The product's own network predicts at most the largest revenue that a training customer had in the horizon: "
        "it is too low for a customer beyond that.",
        "Revenue is what was bought: cancelled and returned goods and purchases without a customer id are left out, "
        "and costs are not known. Money is in the currency of the transactions.",
    ),
)
