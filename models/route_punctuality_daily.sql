/*
description: How punctual each route was, day by day, with the names of its airports.
keys: [flight_date, origin, dest]
partition_by: [year, month]
timezone: America/New_York
inputs:
  silver.flights: {mapping: {year: year, month: month}}
  silver.airports: {}
*/
SELECT
  f.year,
  f.month,
  MAKE_DATE(f.year, f.month, f.day) AS flight_date,
  f.origin,
  o.name AS origin_name,
  f.dest,
  d.name AS dest_name,
  MAX(f.distance) AS distance_miles,
  COUNT(*) AS flights,
  COUNT(f.dep_delay) AS departures,
  AVG(f.dep_delay) AS mean_dep_delay,
  COUNT(f.arr_delay) AS arrivals,
  AVG(f.arr_delay) AS mean_arr_delay,
  COUNT_IF(f.arr_delay < 15) AS on_time_arrivals,
  COUNT_IF(f.arr_delay < 15) / NULLIF(COUNT(f.arr_delay), 0) AS on_time_share
FROM silver.flights AS f
LEFT JOIN silver.airports AS o ON o.faa = f.origin
LEFT JOIN silver.airports AS d ON d.faa = f.dest
GROUP BY f.year, f.month, f.day, f.origin, o.name, f.dest, d.name
