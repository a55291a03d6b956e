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
}
INTEGER_INPUTS = ("n_purchases", "customer_age", "days_since_last_purchase", "tenure_days")
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
BOOKKEEPING = (CUSTOMER, WEIGHT, FREQUENCY_BAND)
"""For people and metrics, never for the model: id, 1 / rows of the customer, band of `n_purchases`."""

FREQUENCY, RECENCY, AVERAGE = "n_purchases", "days_since_last_purchase", "avg_purchase_revenue"
DESCRIBED = (FREQUENCY, RECENCY, AVERAGE)
"""Kept of each row beside what was predicted: what people ask next, and what reports and other rules read."""

SPLIT = "split"
TOTAL = "total_monetary_value"
FUTURE = "future_monetary_value"
MEDIAN, BUYS_AGAIN = "future_median", "repurchase_probability"
LOW, HIGH = "future_p10", "future_p90"
"""Of the future revenue too: its median, the probability that there is any, and the ends of an 80 % interval."""
OUTPUTS = (TOTAL, FUTURE)
"""What each signature answers: past + predicted future revenue, and predicted future revenue."""

FREQUENCY_BANDS = ("1", "2-3", "4-9", "10+")
