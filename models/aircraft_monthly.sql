/*
description: What each aircraft flew for each airline, month by month. Names aircraft, so it is no table for everybody.
keys: [year, month, carrier, tailnum]
partition_by: [year, month]
timezone: America/New_York
inputs:
  silver.flights: {mapping: {year: year, month: month}}
*/
SELECT
  f.year,
  f.month,
  f.carrier,
  f.tailnum,
  COUNT(*) AS flights,
  SUM(f.air_time) AS air_minutes,
  SUM(CAST(f.distance AS BIGINT)) AS distance_miles
FROM silver.flights AS f
WHERE f.dep_time IS NOT NULL AND f.tailnum IS NOT NULL
GROUP BY f.year, f.month, f.carrier, f.tailnum
