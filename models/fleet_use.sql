/*
description: What kinds of aircraft flew, how many of each and how long, month by month.
keys: [year, month, manufacturer, model]
partition_by: [year, month]
timezone: America/New_York
inputs:
  silver.flights: {mapping: {year: year, month: month}}
  silver.planes: {}
declassified:
  aircraft: A count names no aircraft.
*/
SELECT
  f.year,
  f.month,
  COALESCE(p.manufacturer, 'not listed') AS manufacturer,
  COALESCE(p.model, 'not listed') AS model,
  COUNT(*) AS flights,
  COUNT(DISTINCT f.tailnum) AS aircraft,
  SUM(p.seats) AS seats_flown,
  SUM(f.air_time) AS air_minutes,
  SUM(CAST(f.distance AS BIGINT)) AS distance_miles,
  AVG(f.year - p.year) AS mean_age_years
FROM silver.flights AS f
LEFT JOIN silver.planes AS p ON p.tailnum = f.tailnum
WHERE f.dep_time IS NOT NULL
GROUP BY f.year, f.month, COALESCE(p.manufacturer, 'not listed'), COALESCE(p.model, 'not listed')
