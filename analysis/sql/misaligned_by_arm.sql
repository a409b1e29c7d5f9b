-- Misaligned rate per arm and budget: mean over replicates, its spread, and the counts behind it.
SELECT study, eval, arm, aft_tokens,
       count(*) AS replicates,
       round(1 - avg(rate_valid), 4) AS misaligned,
       round(stddev_samp(rate_valid), 4) AS sd_over_replicates,
       sum(aligned)::BIGINT AS aligned, sum(valid)::BIGINT AS valid, sum(attempted)::BIGINT AS attempted
FROM rates
GROUP BY study, eval, arm, aft_tokens
ORDER BY study, eval, arm, aft_tokens;
