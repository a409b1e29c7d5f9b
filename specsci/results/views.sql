-- The readouts that an eval's rows have; the first by name answers where the study names none.
CREATE TEMP TABLE seen_readouts AS
SELECT study, eval, list(DISTINCT r.readout ORDER BY r.readout) AS readouts
FROM (SELECT DISTINCT step_digest, readout FROM score_rows) r JOIN cells USING (step_digest) GROUP BY ALL;
UPDATE evals SET readouts = s.readouts, readout = coalesce(evals.readout, s.readouts[1])
FROM seen_readouts s WHERE s.study = evals.study AND s.eval = evals.eval;
UPDATE evals SET readout = coalesce(readout, 'imported'), readouts = coalesce(readouts, []);
DROP TABLE seen_readouts;

-- One row per answer, with the cell of the design that it belongs to.
CREATE VIEW scores AS
SELECT c.study, c.arm, c.base_model, c.msm_spec, c.aft_spec, c.aft_tokens, c.midtrain_tokens, c.seed, c.eval, r.item_id,
       r.cluster_id, r.readout, r.variant, r.sample, r.state, r.aligned, r.value, r.slice, r.logprob_aligned,
       r.logprob_misaligned, r.step_digest, c.harness, c.subject, r.wire_digest
FROM score_rows r JOIN cells c USING (step_digest);

-- The answers that tables and contrasts are of: one readout of each eval. `answer` is 1 or 0 where answers are binary, else the value.
CREATE VIEW chosen_scores AS
SELECT s.*, CASE WHEN e.outcome = 'binary' THEN s.aligned::DOUBLE ELSE s.value END AS answer
FROM scores s JOIN evals e USING (study, eval, readout);

-- Items as they were asked of each study's models.
CREATE VIEW items AS
SELECT DISTINCT c.study, c.eval, i.item_id, i.cluster_id, i.slice, i.prompt, i.aligned, i.misaligned
FROM item_rows i JOIN cells c ON c.items_digest = i.step_digest;

-- What models said in words: the prompt as it was sent, the reply with its reasoning, and how it ended.
CREATE VIEW transcripts AS
SELECT c.study, c.arm, c.base_model, c.msm_spec, c.aft_spec, c.aft_tokens, c.seed, c.eval, s.item_id, s.cluster_id, s.variant, s.sample,
       s.prompt, s.reply, s.state, s.input_tokens, s.output_tokens, s.step_digest, c.harness
FROM sample_rows s JOIN cells c ON c.samples_digest = s.step_digest;

-- What judges said of models' answers, and of the texts that tell how far a judge can be trusted (see `judgements`).
CREATE VIEW verdicts AS
SELECT c.study, c.arm, c.harness, c.subject, c.aft_tokens, c.base_model, c.seed, c.eval, j.*, coalesce(j.step_digest = c.second_digest, false) AS second
FROM judgements j JOIN cells c ON j.step_digest IN (c.judgements_digest, c.second_digest);

-- Counted once, so that no table or contrast goes over every answer again.
CREATE TABLE answer_counts AS
SELECT step_digest, readout,
       count(*) FILTER (aligned) AS aligned, count(*) FILTER (state = 'ok') AS valid, count(*) AS attempted,
       count(DISTINCT item_id) AS items, sum(value) FILTER (state = 'ok') AS value_sum, count(*) FILTER (state = 'truncated') AS truncated
FROM score_rows GROUP BY ALL;

CREATE TABLE item_counts AS
SELECT study, eval, count(DISTINCT item_id) AS items FROM scores GROUP BY ALL;

-- A rate is always three counts: aligned, valid, attempted. `items` are the distinct items attempted; NULL where only counts are known.
-- `mean_value` is the mean of the answers' values; where the outcome is not binary there is no rate, and contrasts are of it.
-- `chosen`: whether tables and contrasts take this readout.
CREATE VIEW rates AS
SELECT n.*, CASE WHEN n.outcome = 'binary' THEN n.aligned / nullif(n.valid, 0) END AS rate_valid,
       CASE WHEN n.outcome = 'binary' THEN n.aligned / n.attempted END AS rate_attempted
FROM (
  SELECT c.study, c.arm, c.harness, c.subject, c.aft_tokens, c.seed, c.eval, n.readout, c.base_model, c.msm_spec,
         sum(n.aligned)::BIGINT AS aligned,
         sum(n.valid)::BIGINT AS valid,
         sum(n.attempted)::BIGINT AS attempted,
         max(n.items)::BIGINT AS items,
         sum(n.value_sum) / nullif(sum(n.valid), 0) AS mean_value,
         e.outcome, n.readout = e.readout AS chosen, sum(n.truncated)::BIGINT AS truncated
  FROM answer_counts n JOIN cells c USING (step_digest) JOIN evals e USING (study, eval)
  GROUP BY ALL
  UNION ALL
  SELECT c.study, c.arm, c.harness, c.subject, c.aft_tokens, c.seed, c.eval, 'imported' AS readout, c.base_model, c.msm_spec,
         r.aligned, r.valid, r.attempted, NULL AS items, NULL AS mean_value, 'binary' AS outcome, true AS chosen,
         NULL AS truncated
  FROM count_rows r JOIN cells c USING (step_digest)) n;

-- Agreement of the two option orders, per model, eval and readout: position bias at a glance.
CREATE VIEW order_agreement AS
SELECT study, arm, harness, subject, aft_tokens, seed, eval, readout,
       avg(agree::INT) AS agreement,
       avg(aligned_first) AS rate_aligned_first, avg(aligned_second) AS rate_aligned_second
FROM (
  SELECT study, arm, harness, subject, aft_tokens, seed, eval, readout, item_id, sample,
         bool_and(aligned) OR NOT bool_or(aligned) AS agree,
         avg(aligned::INT) FILTER (variant = 'aligned_first') AS aligned_first,
         avg(aligned::INT) FILTER (variant = 'aligned_second') AS aligned_second
  FROM scores WHERE state = 'ok' GROUP BY ALL HAVING count(DISTINCT variant) = 2)
GROUP BY ALL;
