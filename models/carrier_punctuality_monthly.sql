/*
description: How punctual each airline was, month by month, from its days.
keys: [year, month, carrier]
partition_by: [year, month]
timezone: America/New_York
inputs:
  gold.carrier_punctuality_daily: {mapping: {year: year, month: month}}
*/
SELECT
  d.year,
  d.month,
  d.carrier,
  d.carrier_name,
  SUM(d.flights) AS flights,
  SUM(d.departures) AS departures,
  SUM(d.dep_delay_minutes) AS dep_delay_minutes,
  SUM(d.dep_delay_minutes) / NULLIF(SUM(d.departures), 0) AS mean_dep_delay,
  SUM(d.arr_delay_minutes) / NULLIF(SUM(d.arrivals), 0) AS mean_arr_delay,
  SUM(d.on_time_arrivals) / NULLIF(SUM(d.arrivals), 0) AS on_time_share,
  MAX(d.mean_dep_delay) AS worst_day_mean_dep_delay,
  MAX_BY(d.flight_date, STRUCT(d.mean_dep_delay, d.flight_date)) AS worst_day
FROM gold.carrier_punctuality_daily AS d
GROUP BY d.year, d.month, d.carrier, d.carrier_name
