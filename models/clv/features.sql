-- From transactions to the feature table: a row a customer and country, as of the evening of @cutoff.
-- BigQuery's dialect; DuckDB runs the same text through sqlglot. Every column is cast to INT64, FLOAT64 or
-- STRING, since BigQueryExampleGen knows no others.
--
-- The customers of the training split also have rows as of @earlier_cutoffs earlier days, the first of them a horizon
-- before @cutoff and each other one @earlier_step_days before the last: what they bought in the horizon after such a
-- day was known by @cutoff. They are a split of their own, to learn from and for nothing else.
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

  -- The days that features are as of. An earlier one has a horizon of purchases before it, or there is none.
  cutoffs AS (
    SELECT as_of
    FROM (
      SELECT CAST(DATE_SUB(@cutoff, INTERVAL IF(k = 0, 0, @horizon_days + (k - 1) * @earlier_step_days) DAY) AS DATE) AS as_of
      FROM UNNEST(GENERATE_ARRAY(0, @earlier_cutoffs)) AS k
    )
    WHERE as_of = @cutoff OR DATE_DIFF(as_of, (SELECT MIN(day) FROM clean), DAY) >= @horizon_days
  ),

  -- What was known on that day.
  history AS (
    SELECT
      as_of,
      customer_id,
      country,
      COUNT(*) AS n_purchases,
      SUM(units) AS units,
      SUM(pence) AS pence,
      DATE_DIFF(MAX(day), MIN(day), DAY) AS customer_age,
      DATE_DIFF(as_of, MAX(day), DAY) AS days_since_last_purchase
    FROM clean
    JOIN cutoffs ON day <= as_of
    GROUP BY as_of, customer_id, country
  ),

  -- Past, its windows and the label belong to the customer, wherever the purchases were made: a customer of two
  -- countries has two rows with the same label.
  customers AS (
    SELECT
      as_of,
      customer_id,
      SUM(IF(day <= as_of, pence, 0)) AS past_pence,
      SUM(IF(day <= as_of AND DATE_DIFF(as_of, day, DAY) < 30, pence, 0)) AS pence_30d,
      SUM(IF(day <= as_of AND DATE_DIFF(as_of, day, DAY) < 91, pence, 0)) AS pence_91d,
      SUM(IF(day <= as_of AND DATE_DIFF(as_of, day, DAY) < 182, pence, 0)) AS pence_182d,
      COUNT(DISTINCT IF(day <= as_of AND DATE_DIFF(as_of, day, DAY) < 91, day, NULL)) AS purchases_91d,
      COUNT(DISTINCT IF(day <= as_of AND DATE_DIFF(as_of, day, DAY) < 182, day, NULL)) AS purchases_182d,
      SUM(IF(day > as_of, pence, 0)) AS future_pence,
      DATE_DIFF(as_of, MIN(day), DAY) AS tenure_days
    FROM clean
    JOIN cutoffs ON day < DATE_ADD(as_of, INTERVAL @horizon_days DAY)
    GROUP BY as_of, customer_id
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
  CAST(pence_30d / 100 AS FLOAT64) AS revenue_30d,
  CAST(pence_91d / 100 AS FLOAT64) AS revenue_91d,
  CAST(pence_182d / 100 AS FLOAT64) AS revenue_182d,
  CAST(purchases_91d AS INT64) AS purchases_91d,
  CAST(purchases_182d AS INT64) AS purchases_182d,
  CAST(future_pence / 100 AS FLOAT64) AS future_monetary_value_3M,
  CAST((past_pence + future_pence) / 100 AS FLOAT64) AS target_monetary_value_3M,
  -- The rows of a customer weigh 1 together, so that totals count a customer once.
  CAST(1 / COUNT(*) OVER (PARTITION BY as_of, customer_id) AS FLOAT64) AS customer_weight,
  CASE
    WHEN n_purchases = 1 THEN '1'
    WHEN n_purchases <= 3 THEN '2-3'
    WHEN n_purchases <= 9 THEN '4-9'
    ELSE '10+'
  END AS frequency_band,
  CAST(DATE_DIFF(@cutoff, as_of, DAY) AS INT64) AS days_before_cutoff,
  -- By customer, so that no customer is in two splits. ABS comes last: ABS of the least INT64 overflows.
  CASE ABS(MOD(FARM_FINGERPRINT(customer_id), 10))
    WHEN 8 THEN 'TEST'
    WHEN 9 THEN 'VALIDATE'
    ELSE IF(as_of = @cutoff, 'TRAIN', 'EARLIER')
  END AS split
FROM history
JOIN customers USING (as_of, customer_id)
WHERE as_of = @cutoff OR ABS(MOD(FARM_FINGERPRINT(customer_id), 10)) < 8
