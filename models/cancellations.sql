/*
description: Flights that did not take place, and flights that did not arrive where they should, month by month.
keys: [year, month, origin, carrier]
partition_by: [year, month]
timezone: America/New_York
inputs:
  silver.flights: {mapping: {year: year, month: month}}
*/
SELECT
  f.year,
  f.month,
  f.origin,
  f.carrier,
  COUNT(*) AS scheduled,
  COUNT_IF(f.dep_time IS NULL) AS cancelled,
  COUNT_IF(f.dep_time IS NULL) / COUNT(*) AS cancelled_share,
  COUNT_IF(f.dep_time IS NOT NULL AND f.air_time IS NULL) AS diverted,
  COUNT(DISTINCT CASE WHEN f.dep_time IS NULL THEN f.day END) AS days_with_cancellations
FROM silver.flights AS f
GROUP BY f.year, f.month, f.origin, f.carrier
