/*
description: Departure delays against the weather at the airport in the hour of the scheduled departure.
keys: [year, month, origin, visibility, wind, rain]
partition_by: [year, month]
timezone: America/New_York
inputs:
  silver.flights: {mapping: {year: year, month: month}}
  silver.weather: {mapping: {year: year, month: month}}
*/
WITH hours AS (
  SELECT
    w.year,
    w.month,
    w.origin,
    w.time_hour,
    CASE
      WHEN w.visib IS NULL THEN 'not reported'
      WHEN w.visib < 1 THEN 'below 1 mile'
      WHEN w.visib < 5 THEN '1 to 5 miles'
      ELSE '5 miles or more'
    END AS visibility,
    CASE
      WHEN w.wind_speed IS NULL THEN 'not reported'
      WHEN w.wind_speed < 20 THEN 'below 20 mph'
      ELSE '20 mph or more'
    END AS wind,
    CASE WHEN w.precip IS NULL THEN 'not reported' WHEN w.precip > 0 THEN 'yes' ELSE 'no' END AS rain
  FROM silver.weather AS w
)
SELECT
  f.year,
  f.month,
  f.origin,
  COALESCE(h.visibility, 'not reported') AS visibility,
  COALESCE(h.wind, 'not reported') AS wind,
  COALESCE(h.rain, 'not reported') AS rain,
  COUNT(*) AS flights,
  COUNT_IF(f.dep_time IS NULL) AS cancelled,
  COUNT(f.dep_delay) AS departures,
  AVG(f.dep_delay) AS mean_dep_delay,
  COUNT_IF(f.dep_delay >= 15) AS late_departures,
  COUNT_IF(f.dep_delay >= 15) / NULLIF(COUNT(f.dep_delay), 0) AS late_share
FROM silver.flights AS f
LEFT JOIN hours AS h
  ON h.year = f.year AND h.month = f.month AND h.origin = f.origin AND h.time_hour = f.time_hour
GROUP BY
  f.year,
  f.month,
  f.origin,
  COALESCE(h.visibility, 'not reported'),
  COALESCE(h.wind, 'not reported'),
  COALESCE(h.rain, 'not reported')
