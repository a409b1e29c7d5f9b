-- One row per answer, with the cell of the design that it belongs to.
CREATE VIEW scores AS
SELECT c.study, c.arm, c.base_model, c.msm_spec, c.aft_spec, c.aft_tokens, c.midtrain_tokens, c.seed, c.eval, r.item_id,
       r.cluster_id, r.readout, r.variant, r.sample, r.state, r.aligned, r.value, r.slice, r.logprob_aligned,
       r.logprob_misaligned, r.step_digest
FROM score_rows r JOIN cells c USING (step_digest);

-- Counted once, so that no table or contrast goes over every answer again.
CREATE TABLE answer_counts AS
SELECT step_digest, readout,
       count(*) FILTER (aligned) AS aligned, count(*) FILTER (state = 'ok') AS decided, count(*) AS asked,
       count(DISTINCT item_id) AS items
FROM score_rows GROUP BY ALL;

CREATE TABLE item_counts AS
SELECT study, eval, count(DISTINCT item_id) AS items FROM scores GROUP BY ALL;

-- A rate is always three counts: aligned, decided, asked. `items` are the distinct items asked; NULL where only counts are known.
CREATE VIEW rates AS
SELECT c.study, c.arm, c.aft_tokens, c.seed, c.eval, n.readout, c.base_model, c.msm_spec,
       sum(n.aligned)::BIGINT AS aligned,
       sum(n.decided)::BIGINT AS decided,
       sum(n.asked)::BIGINT AS asked,
       sum(n.aligned) / nullif(sum(n.decided), 0) AS rate_decided,
       sum(n.aligned) / sum(n.asked) AS rate_asked,
       max(n.items)::BIGINT AS items
FROM answer_counts n JOIN cells c USING (step_digest)
GROUP BY ALL
UNION ALL
SELECT c.study, c.arm, c.aft_tokens, c.seed, c.eval, 'imported' AS readout, c.base_model, c.msm_spec,
       r.aligned, r.decided, r.asked, r.aligned / nullif(r.decided, 0) AS rate_decided, r.aligned / r.asked AS rate_asked,
       NULL AS items
FROM count_rows r JOIN cells c USING (step_digest);

-- Agreement of the two option orders, per model and eval: position bias at a glance.
CREATE VIEW order_agreement AS
SELECT study, arm, aft_tokens, seed, eval,
       avg(agree::INT) AS agreement,
       avg(aligned_first) AS rate_aligned_first, avg(aligned_second) AS rate_aligned_second
FROM (
  SELECT study, arm, aft_tokens, seed, eval, item_id, sample,
         bool_and(aligned) OR NOT bool_or(aligned) AS agree,
         avg(aligned::INT) FILTER (variant = 'aligned_first') AS aligned_first,
         avg(aligned::INT) FILTER (variant = 'aligned_second') AS aligned_second
  FROM scores WHERE state = 'ok' GROUP BY ALL HAVING count(DISTINCT variant) = 2)
GROUP BY ALL;
