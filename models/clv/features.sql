-- From transactions to the feature table: a row a customer and country, as of the evening of @cutoff.
-- BigQuery's dialect; DuckDB runs the same text through sqlglot. Every column is cast to INT64, FLOAT64 or
-- STRING, since BigQueryExampleGen knows no others.
--
-- Money is counted in whole pence: sums of integers are exact in any order, so the same data gives the same
-- features to the last bit on every run and on both engines; only the last SELECT divides by 100.

WITH
  -- A row a customer, country and day of purchase. Cancelled invoices and returns have quantity <= 0.
  clean AS (
    SELECT
      customer_id,
      country,
      DATE(date) AS day,
      COUNT(DISTINCT invoice) AS invoices,
      SUM(quantity) AS units,
      -- NUMERIC, because prices such as 2.55 have no exact FLOAT64.
      CAST(ROUND(100 * SUM(CAST(unit_price AS NUMERIC) * quantity)) AS INT64) AS pence
    FROM transactions
    WHERE customer_id IS NOT NULL AND quantity > 0
    GROUP BY customer_id, country, day
  ),

  -- What was known at the cut-off.
  history AS (
    SELECT
      customer_id,
      country,
      COUNT(*) AS n_purchases,
      SUM(units) AS units,
      SUM(pence) AS pence,
      DATE_DIFF(MAX(day), MIN(day), DAY) AS customer_age,
      DATE_DIFF(@cutoff, MAX(day), DAY) AS days_since_last_purchase
    FROM clean
    WHERE day <= @cutoff
    GROUP BY customer_id, country
  ),

  -- Past and label belong to the customer, wherever the purchases were made: a customer of two countries has
  -- two rows with the same label.
  customers AS (
    SELECT
      customer_id,
      SUM(IF(day <= @cutoff, pence, 0)) AS past_pence,
      SUM(IF(day > @cutoff, pence, 0)) AS future_pence,
      DATE_DIFF(@cutoff, MIN(day), DAY) AS tenure_days
    FROM clean
    WHERE day < DATE_ADD(@cutoff, INTERVAL @horizon_days DAY)
    GROUP BY customer_id
  )

SELECT
  customer_id,
  country AS customer_country,
  CAST(n_purchases AS INT64) AS n_purchases,
  CAST(units / n_purchases AS FLOAT64) AS avg_purchase_size,
  CAST(pence / n_purchases / 100 AS FLOAT64) AS avg_purchase_revenue,
  CAST(customer_age AS INT64) AS customer_age,
  CAST(days_since_last_purchase AS INT64) AS days_since_last_purchase,
  CAST(past_pence / 100 AS FLOAT64) AS past_monetary_value,
  CAST(tenure_days AS INT64) AS tenure_days,
  CAST(future_pence / 100 AS FLOAT64) AS future_monetary_value_3M,
  CAST((past_pence + future_pence) / 100 AS FLOAT64) AS target_monetary_value_3M,
  -- The rows of a customer weigh 1 together, so that totals count a customer once.
  CAST(1 / COUNT(*) OVER (PARTITION BY customer_id) AS FLOAT64) AS customer_weight,
  CASE
    WHEN n_purchases = 1 THEN '1'
    WHEN n_purchases <= 3 THEN '2-3'
    WHEN n_purchases <= 9 THEN '4-9'
    ELSE '10+'
  END AS frequency_band,
  -- By customer, so that no customer is in two splits. ABS comes last: ABS of the least INT64 overflows.
  CASE ABS(MOD(FARM_FINGERPRINT(customer_id), 10))
    WHEN 8 THEN 'TEST'
    WHEN 9 THEN 'VALIDATE'
    ELSE 'TRAIN'
  END AS split
FROM history
JOIN customers USING (customer_id)
