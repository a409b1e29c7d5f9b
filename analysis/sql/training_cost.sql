-- Where the time went: seconds, updates and tokens by kind of step.
SELECT study, kind, count(*) AS steps, round(sum(busy_s), 1) AS busy_s, sum(updates)::BIGINT AS updates, sum(tokens)::BIGINT AS tokens,
       round(sum(bytes) / 1e6, 1) AS megabytes
FROM steps
GROUP BY study, kind
ORDER BY busy_s DESC;
