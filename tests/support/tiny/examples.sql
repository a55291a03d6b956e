SELECT
  id,
  x,
  y * @scale AS y,
  CASE WHEN id IN (19, 29, 39) THEN 'rare' WHEN x < 5 THEN 'low' ELSE 'high' END AS band,
  CASE MOD(id, 10) WHEN 8 THEN 'TEST' WHEN 9 THEN 'VALIDATE' ELSE 'TRAIN' END AS split
FROM points
