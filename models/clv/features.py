"""The one source for names of the CLV model: SQL, schema, preprocessing, signatures and metrics use these.

A row of the feature table is one customer in one country; money is in the currency of the transactions,
durations are in days. Definitions follow the reference lab for this data (Google Cloud's CLV lab on UCI
Online Retail).
"""

from __future__ import annotations

NUMERIC_INPUTS: dict[str, str] = {
    "n_purchases": "days with a purchase up to and including the cut-off",
    "avg_purchase_size": "mean units bought on such a day",
    "avg_purchase_revenue": "mean revenue of such a day",
    "customer_age": "days from the first to the last purchase",
    "days_since_last_purchase": "days from the last purchase to the cut-off",
    "past_monetary_value": "revenue up to and including the cut-off, over all countries of the customer",
    "tenure_days": "days from the first purchase to the cut-off, over all countries of the customer",
    "revenue_30d": "revenue of the 30 days up to and including the cut-off, over all countries of the customer",
    "revenue_91d": "revenue of the 91 days up to and including the cut-off, likewise",
    "revenue_182d": "revenue of the 182 days up to and including the cut-off, likewise",
    "purchases_91d": "days with a purchase among the 91 days up to and including the cut-off, likewise",
    "purchases_182d": "days with a purchase among the 182 days up to and including the cut-off, likewise",
}
INTEGER_INPUTS = (
    "n_purchases",
    "customer_age",
    "days_since_last_purchase",
    "tenure_days",
    "purchases_91d",
    "purchases_182d",
)
COUNTRY = "customer_country"
INPUTS = (*NUMERIC_INPUTS, COUNTRY)
"""What a server is asked with, by name."""

UNKNOWN_NUMBER = -1
UNKNOWN_COUNTRY = ""
UNKNOWN_CUSTOMER: dict[str, int | float | str] = {
    **dict.fromkeys(NUMERIC_INPUTS, UNKNOWN_NUMBER),
    COUNTRY: UNKNOWN_COUNTRY,
}
"""What stands for values that are not known."""

REFERENCE_INPUTS = (
    "n_purchases",
    "avg_purchase_size",
    "avg_purchase_revenue",
    "customer_age",
    "days_since_last_purchase",
)
"""The five numbers that the reference lab's network sees."""

PAST = "past_monetary_value"
TENURE = "tenure_days"
FUTURE_LABEL = "future_monetary_value_3M"
TOTAL_LABEL = "target_monetary_value_3M"
LABELS = (FUTURE_LABEL, TOTAL_LABEL)
"""Labels, by customer: revenue in the horizon after the cut-off, and past + future."""

CUSTOMER = "customer_id"
WEIGHT = "customer_weight"
FREQUENCY_BAND = "frequency_band"
BEFORE_CUTOFF = "days_before_cutoff"
BOOKKEEPING = (CUSTOMER, WEIGHT, FREQUENCY_BAND, BEFORE_CUTOFF)
"""For people, metrics and trainings, never for a server: id, 1 / rows of the customer, band of `n_purchases`, and how
long before the cut-off the features are as of, which is 0 in all splits but `EARLIER`."""

FREQUENCY, RECENCY, AVERAGE = "n_purchases", "days_since_last_purchase", "avg_purchase_revenue"
DESCRIBED = (FREQUENCY, RECENCY, AVERAGE)
"""Kept of each row beside what was predicted: what people ask next, and what reports and other rules read."""

SPLIT = "split"
EARLIER = "earlier"
"""Split of the training customers as of earlier days, to learn from besides."""

TOTAL = "total_monetary_value"
FUTURE = "future_monetary_value"
MEDIAN = "future_median"
BUYS_AGAIN = "repurchase_probability"
LOW, HIGH = "future_low", "future_high"
OUTPUTS = (TOTAL, FUTURE, MEDIAN, BUYS_AGAIN, LOW, HIGH)
"""What each signature answers: past + expected future revenue; of the future revenue the mean, the median, the
probability that there is any, and the ends of an interval that holds it with a probability of 80 %."""
INTERVAL = 0.8
"""The probability that the interval from `LOW` to `HIGH` is made for."""

FREQUENCY_BANDS = ("1", "2-3", "4-9", "10+")
