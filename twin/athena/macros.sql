-- What an Athena (Trino) operator or function means where DuckDB's own differs without an error.
-- `typeof` is a constant for DuckDB, so these checks cost nothing once a query is planned.
-- `error` refuses: a query is rather refused than answered wrongly.

CREATE MACRO athena_family(type) AS CASE
    WHEN type = '"NULL"' THEN 'null'
    WHEN type = 'VARCHAR' THEN 'varchar'
    WHEN type IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE')
        OR type LIKE 'DECIMAL%' OR type LIKE 'INTEGER_LITERAL%' THEN 'number'
    WHEN type IN ('DATE') OR type LIKE 'TIMESTAMP%' THEN 'time'
    ELSE type END;

-- Trino never converts between text and anything else in a comparison.
CREATE MACRO athena_comparable(a, b) AS CASE
    WHEN athena_family(typeof(a)) <> athena_family(typeof(b))
        AND 'null' NOT IN (athena_family(typeof(a)), athena_family(typeof(b)))
    THEN CAST(error('TYPE_MISMATCH: Cannot compare ' || lower(typeof(a)) || ' with ' || lower(typeof(b))) AS BOOLEAN)
    ELSE true END;

-- Division: integers truncate and refuse zero; decimals have rules of their own in Trino.
CREATE MACRO athena_divisor(a, b) AS CASE
    WHEN (typeof(a) LIKE 'DECIMAL%' OR typeof(b) LIKE 'DECIMAL%') AND 'DOUBLE' NOT IN (typeof(a), typeof(b))
        AND 'FLOAT' NOT IN (typeof(a), typeof(b))
    THEN error('NOT_SUPPORTED: the twin does not divide decimals; cast one side to double, or write 100e0')
    WHEN b = 0 AND athena_family(typeof(b)) = 'number' AND typeof(a) NOT IN ('DOUBLE', 'FLOAT')
        AND typeof(b) NOT IN ('DOUBLE', 'FLOAT')
    THEN error('DIVISION_BY_ZERO: Division by zero')
    WHEN b = 0
    THEN error('NOT_SUPPORTED: the twin does not divide a double by zero, where Athena answers Infinity or NaN')
    ELSE b END;
CREATE MACRO athena_divide(a, b) AS a / athena_divisor(a, b);
CREATE MACRO athena_modulo(a, b) AS a % athena_divisor(a, b);

CREATE MACRO athena_averaged(x) AS CASE
    WHEN typeof(x) LIKE 'DECIMAL%'
    THEN error('NOT_SUPPORTED: the twin does not average decimals; cast them to double') ELSE x END;

-- Dates: Trino knows no date plus number, and a date less a date is an interval, not a number.
CREATE MACRO athena_number(x) AS CASE
    WHEN athena_family(typeof(x)) = 'time'
    THEN error('NOT_SUPPORTED: the twin adds only intervals to dates, and has date_diff to subtract them')
    ELSE x END;
-- A date plus an interval is a date. `type` is what `x` really is: DuckDB chooses the overload too early
-- for an aggregate.
CREATE MACRO athena_shift(x DATE, i INTERVAL, type) AS CASE
    WHEN type <> 'DATE'
    THEN error('NOT_SUPPORTED: the twin adds no interval to an aggregate that is no date; use a subquery')
    ELSE CAST(x + i AS DATE) END,
(x, i, type) AS x + i;
CREATE MACRO athena_date_trunc(unit, x DATE, type) AS CASE
    WHEN type <> 'DATE' THEN error('NOT_SUPPORTED: the twin truncates no aggregate; use a subquery')
    ELSE CAST(date_trunc(unit, x) AS DATE) END,
(unit, x, type) AS date_trunc(unit, x);

-- Casts from text take what Trino takes; casts from floating point round half away from zero.
CREATE MACRO athena_bad_cast(x, type) AS
    error('INVALID_CAST_ARGUMENT: Cannot cast ' || lower(typeof(x)) || ' to ' || type);
CREATE MACRO athena_is_text(x, pattern) AS
    typeof(x) <> 'VARCHAR' OR x IS NULL OR regexp_full_match(CAST(x AS VARCHAR), pattern);
CREATE MACRO athena_integer(x) AS CASE
    WHEN NOT athena_is_text(x, '[+-]?[0-9]+') THEN NULL
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
    ELSE TRY_CAST(x AS BIGINT) END;
CREATE MACRO athena_double(x) AS CASE
    WHEN NOT athena_is_text(x, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?|NaN|[+-]?Infinity') THEN NULL
    ELSE TRY_CAST(x AS DOUBLE) END;
CREATE MACRO athena_decimal(x) AS CASE
    WHEN NOT athena_is_text(x, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)') THEN NULL ELSE x END;
CREATE MACRO athena_boolean(x) AS CASE
    WHEN NOT athena_is_text(x, '(?i)true|false|t|f|1|0') THEN NULL ELSE TRY_CAST(x AS BOOLEAN) END;
CREATE MACRO athena_date(x) AS CASE
    WHEN NOT athena_is_text(x, '[+-]?[0-9]{4,}-[0-9]{1,2}-[0-9]{1,2}') THEN NULL ELSE TRY_CAST(x AS DATE) END;
CREATE MACRO athena_timestamp(x) AS CASE
    WHEN NOT athena_is_text(x, '[0-9]{4,}-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?)?')
    THEN NULL ELSE TRY_CAST(x AS TIMESTAMP) END;
CREATE MACRO athena_timestamptz(x) AS CASE
    WHEN NOT athena_is_text(x, '[0-9]{4,}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)? ?(UTC|Z|[+-][0-9]{2}:[0-9]{2})')
    THEN NULL ELSE TRY_CAST(regexp_replace(CAST(x AS VARCHAR), ' ([+-])', '\1') AS TIMESTAMPTZ) END;
CREATE MACRO athena_varchar(x) AS CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') AND TRY_CAST(x AS DOUBLE) <> 0
        AND NOT abs(TRY_CAST(x AS DOUBLE)) BETWEEN 1e-3 AND 9999999
    THEN error('NOT_SUPPORTED: the twin does not write very large or small numbers as text')
    WHEN typeof(x) LIKE 'TIMESTAMP%'
    THEN error('NOT_SUPPORTED: the twin does not cast timestamps to varchar; use date_format')
    ELSE CAST(x AS VARCHAR) END;
-- `value` is the converted `x`; NULL where `x` is not means that it cannot be converted.
CREATE MACRO athena_cast(x, value, type) AS CASE
    WHEN x IS NOT NULL AND value IS NULL THEN athena_bad_cast(x, type) ELSE value END;

-- Text.
CREATE MACRO athena_substring(x, start) AS CASE WHEN start = 0 THEN '' ELSE substring(x, start) END,
(x, start, length) AS CASE WHEN start = 0 THEN '' ELSE substring(x, start, length) END;
CREATE MACRO athena_split_part(x, delimiter, i) AS CASE
    WHEN i < 1 THEN error('INVALID_FUNCTION_ARGUMENT: Index must be greater than zero')
    WHEN i > len(string_split(x, delimiter)) THEN NULL ELSE split_part(x, delimiter, i) END;
CREATE MACRO athena_regexp_extract(x, pattern) AS CASE
    WHEN regexp_matches(x, pattern) THEN regexp_extract(x, pattern) END,
(x, pattern, part) AS CASE WHEN regexp_matches(x, pattern) THEN regexp_extract(x, pattern, part) END;
CREATE MACRO athena_json_scalar(x, path) AS CASE
    WHEN json_valid(x) AND json_type(x, path) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN json_extract_string(x, path) END;
