/*
description: How punctual each airline was, day by day. A flight is on time if it arrives less than 15 minutes late.
keys: [flight_date, carrier]
partition_by: [year, month]
timezone: America/New_York
inputs:
  silver.flights: {mapping: {year: year, month: month}}
  silver.airlines: {}
*/
SELECT
  f.year,
  f.month,
  MAKE_DATE(f.year, f.month, f.day) AS flight_date,
  f.carrier,
  a.name AS carrier_name,
  COUNT(*) AS flights,
  COUNT(f.dep_delay) AS departures,
  SUM(f.dep_delay) AS dep_delay_minutes,
  AVG(f.dep_delay) AS mean_dep_delay,
  COUNT(f.arr_delay) AS arrivals,
  SUM(f.arr_delay) AS arr_delay_minutes,
  AVG(f.arr_delay) AS mean_arr_delay,
  COUNT_IF(f.arr_delay < 15) AS on_time_arrivals
FROM silver.flights AS f
LEFT JOIN silver.airlines AS a ON a.carrier = f.carrier
GROUP BY f.year, f.month, f.day, f.carrier, a.name
