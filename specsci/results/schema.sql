-- Tables of results.duckdb. The file is rebuilt from the store's Parquet rows and can be deleted.
CREATE TABLE studies (
  study VARCHAR, title VARCHAR, hypothesis VARCHAR, profile VARCHAR, family VARCHAR, family_version VARCHAR,
  file VARCHAR, correction VARCHAR, access VARCHAR, complete BOOLEAN, cells INTEGER, cells_scored INTEGER, manifest JSON);
CREATE TABLE arms (
  study VARCHAR, arm VARCHAR, title VARCHAR, msm_spec VARCHAR, aft_spec VARCHAR, base_model VARCHAR, seed BIGINT,
  aft_tokens BIGINT, midtrain_tokens BIGINT, model_digest VARCHAR);
CREATE TABLE cells (
  study VARCHAR, arm VARCHAR, base_model VARCHAR, msm_spec VARCHAR, aft_spec VARCHAR, aft_tokens BIGINT,
  midtrain_tokens BIGINT, seed BIGINT, eval VARCHAR, step_digest VARCHAR, items_digest VARCHAR, samples_digest VARCHAR,
  harness VARCHAR, subject VARCHAR, frame_digest VARCHAR, judgements_digest VARCHAR, second_digest VARCHAR);
-- `harness` is the condition that a cell is asked under, empty for none. `subject` is the arm as contrasts name it: the arm alone, or
-- ARM@CONDITION under another condition than its eval's first.
-- What an eval's answers are (binary, ordinal, rate), and the readout that tables and contrasts take where it has several.
CREATE TABLE evals (
  study VARCHAR, eval VARCHAR, kind VARCHAR, role VARCHAR, items VARCHAR, outcome VARCHAR, readout VARCHAR, readouts VARCHAR[],
  harness VARCHAR[]);
-- What stood around the questions of a harness condition or of an arm's prompt, by the step that holds it (`cells.frame_digest`).
CREATE TABLE frames (step_digest VARCHAR, study VARCHAR, harness VARCHAR, prompt VARCHAR, frame JSON);
-- What the rows of one score step share is in `cells`; the view `scores` joins the two.
CREATE TABLE score_rows (
  step_digest VARCHAR, item_id VARCHAR, cluster_id VARCHAR, readout VARCHAR, variant VARCHAR, sample BIGINT, state VARCHAR,
  aligned BOOLEAN, value DOUBLE, slice VARCHAR, logprob_aligned DOUBLE, logprob_misaligned DOUBLE,
  wire_digest VARCHAR);
-- `wire_digest`: the first 32 hex digits of the SHA-256 of the prompt as the model was given it; NULL where it is not known.
-- Answers in words, by the step that holds them; the view `transcripts` says of which cell.
CREATE TABLE sample_rows (
  step_digest VARCHAR, item_id VARCHAR, cluster_id VARCHAR, variant VARCHAR, sample BIGINT, prompt VARCHAR, reply VARCHAR, state VARCHAR,
  input_tokens BIGINT, output_tokens BIGINT);
-- Verdicts of judges, by the step that holds them: on answers of a model (role main), on the same again (repeat), with an instruction to
-- the judge behind an answer (injection), and on answers of known grade (known).
CREATE TABLE judgements (
  step_digest VARCHAR, item_id VARCHAR, cluster_id VARCHAR, variant VARCHAR, sample BIGINT, readout VARCHAR, role VARCHAR, judge VARCHAR,
  state VARCHAR, score BIGINT, expected BIGINT, reason VARCHAR, request_digest VARCHAR);
-- Cells of imported studies of which only counts are known.
CREATE TABLE count_rows (step_digest VARCHAR, aligned BIGINT, valid BIGINT, attempted BIGINT);
-- Items as they were asked, by the step that holds them; the view `items` says of which study and eval.
CREATE TABLE item_rows (
  step_digest VARCHAR, item_id VARCHAR, cluster_id VARCHAR, slice VARCHAR, prompt VARCHAR, aligned VARCHAR, misaligned VARCHAR);
CREATE TABLE steps (
  study VARCHAR, step_digest VARCHAR, kind VARCHAR, label VARCHAR, busy_s DOUBLE, bytes BIGINT, tokens BIGINT,
  updates BIGINT, supervised_tokens BIGINT, device VARCHAR, tokens_per_s DOUBLE, peak_gib DOUBLE, mfu DOUBLE,
  energy_wh DOUBLE, cost_usd DOUBLE, identity JSON, facts JSON);
CREATE TABLE training (
  step_digest VARCHAR, kind VARCHAR, label VARCHAR, step INTEGER, tokens BIGINT, loss DOUBLE, lr DOUBLE);
-- `registration` is a code (unregistered, registered, late, exploratory), `registered` the sentence. A flag's severity is note,
-- warning, withheld or invalid: verdicts are read from code and severity, never from text.
CREATE TABLE contrasts (
  study VARCHAR, contrast VARCHAR, eval VARCHAR, budget_tokens VARCHAR, weights VARCHAR, question VARCHAR,
  "primary" BOOLEAN, estimate DOUBLE, se DOUBLE, statistic DOUBLE, ci_low DOUBLE, ci_high DOUBLE, p DOUBLE, p_adj DOUBLE,
  n INTEGER, family VARCHAR, method VARCHAR, scale VARCHAR, confounds VARCHAR,
  flags STRUCT(code VARCHAR, severity VARCHAR, text VARCHAR)[], per_replicate DOUBLE[],
  equivalence_margin DOUBLE, equivalence_p DOUBLE, registration VARCHAR, registered VARCHAR);
-- Where a contrast's noise comes from, and the half-width of its 95 % interval over replicates and items to come, now and
-- with twice as many of one kind; on the scale `scale` (rates, whatever the contrast's own). Option orders are a fixed factor.
CREATE TABLE noise_budget (
  study VARCHAR, contrast VARCHAR, scale VARCHAR, bases INTEGER, replicates INTEGER, items INTEGER, clusters INTEGER,
  repeats INTEGER, incomplete_items INTEGER,
  base_sd DOUBLE, replicate_sd DOUBLE, cluster_sd DOUBLE, item_sd DOUBLE, replicate_cluster_sd DOUBLE, replicate_item_sd DOUBLE,
  repeat_sd DOUBLE, base_share DOUBLE, replicate_share DOUBLE, cluster_share DOUBLE, item_share DOUBLE,
  replicate_cluster_share DOUBLE, replicate_item_share DOUBLE, repeat_share DOUBLE,
  half_width DOUBLE, half_width_twice_replicates DOUBLE, half_width_twice_items DOUBLE, half_width_twice_repeats DOUBLE);
-- One row per synthetic document.
CREATE TABLE documents (
  step_digest VARCHAR, row INTEGER, text VARCHAR, tokens INTEGER, spec_digest VARCHAR, clause_id VARCHAR, unit_id VARCHAR,
  cell VARCHAR, backend VARCHAR, template_id VARCHAR, seed BIGINT, prompt_digest VARCHAR, family VARCHAR, msm_spec VARCHAR,
  access VARCHAR);
-- One row for every request to a language model behind a text of the store: what it was for, took and cost. NULL: not known.
CREATE TABLE requests (
  step_digest VARCHAR, request_digest VARCHAR, generator VARCHAR, backend VARCHAR, provider VARCHAR, model VARCHAR, answered_by VARCHAR,
  mode VARCHAR, purpose VARCHAR, variant VARCHAR, clause_id VARCHAR, doc_type VARCHAR, framing VARCHAR, sample BIGINT, state VARCHAR,
  reason VARCHAR, input_tokens BIGINT, output_tokens BIGINT, cache_write_tokens BIGINT, cache_read_tokens BIGINT, usd DOUBLE,
  residency VARCHAR, computed_in VARCHAR, retention VARCHAR, latency_s DOUBLE);
-- Distinct documents of a study's corpora by spec, means over the corpora; repetitions: how often a document is there.
CREATE TABLE corpus_counts (
  study VARCHAR, msm_spec VARCHAR, corpora BIGINT, documents DOUBLE, distinct_documents DOUBLE, distinct_share DOUBLE,
  repetitions DOUBLE);
-- What people graded of a judge's answers, both on the scale of values; and contrasts corrected for what they differ by
-- (prediction-powered inference). NULL: too few labels in some arm for an interval.
CREATE TABLE human_grades (
  study VARCHAR, eval VARCHAR, row VARCHAR, "by" VARCHAR, subject VARCHAR, aft_tokens BIGINT, base_model VARCHAR, seed BIGINT, judge DOUBLE,
  human DOUBLE);
CREATE TABLE corrected_contrasts (
  study VARCHAR, contrast VARCHAR, eval VARCHAR, judged DOUBLE, estimate DOUBLE, se DOUBLE, ci_low DOUBLE, ci_high DOUBLE, labels BIGINT,
  least_labels BIGINT);
-- How often answers give a reason, of evals of the kind `reasons`: `rate` is the mean over replicates of `found` in `valid` answers. Of
-- reasons about a rule (`policy`), `floor` is the rate in answers of arms that never saw one, and `above` what lies above it.
CREATE TABLE reasons (
  study VARCHAR, eval VARCHAR, subject VARCHAR, arm VARCHAR, aft_tokens BIGINT, reason VARCHAR, side VARCHAR, policy BOOLEAN,
  found BIGINT, valid BIGINT, rate DOUBLE, ci_low DOUBLE, ci_high DOUBLE,
  floor DOUBLE, floor_found BIGINT, floor_valid BIGINT, above DOUBLE, above_low DOUBLE, above_high DOUBLE);
-- Contrasts of ordered grades by rank: how often an answer of the first side has the higher grade (.5: as often as the other).
CREATE TABLE ordinal_contrasts (
  study VARCHAR, contrast VARCHAR, eval VARCHAR, superiority DOUBLE, se DOUBLE, ci_low DOUBLE, ci_high DOUBLE, p DOUBLE, n BIGINT,
  method VARCHAR);
-- Claims and their status (draft, holds, fragile, withdrawn); what was invalidated, and why.
CREATE TABLE claims (
  claim VARCHAR, study VARCHAR, contrast VARCHAR, text VARCHAR, "by" VARCHAR, made_on VARCHAR, status VARCHAR, why VARCHAR);
-- Cells that rest on something invalidated.
CREATE TABLE voided (
  study VARCHAR, arm VARCHAR, aft_tokens BIGINT, base_model VARCHAR, seed BIGINT, eval VARCHAR, step_digest VARCHAR,
  subject VARCHAR, reason VARCHAR);
CREATE TABLE retired (what VARCHAR, reason VARCHAR, "by" VARCHAR, date VARCHAR);
CREATE TABLE token_efficiency (
  study VARCHAR, arm VARCHAR, reference VARCHAR, counting VARCHAR, level_share DOUBLE, exploratory BOOLEAN, level DOUBLE, arm_tokens VARCHAR,
  reference_tokens VARCHAR, ratio VARCHAR, ratio_value DOUBLE, ratio_relation VARCHAR, ci_low DOUBLE, ci_high DOUBLE,
  undefined_share DOUBLE, n INTEGER, method VARCHAR, arm_usd DOUBLE, reference_usd DOUBLE,
  flags STRUCT(code VARCHAR, severity VARCHAR, text VARCHAR)[]);
-- Loss of held-out documents (own) and of control text, of the base (before) and of the midtrained model (after).
CREATE TABLE probes (
  study VARCHAR, msm_spec VARCHAR, base_model VARCHAR, seed BIGINT, text VARCHAR, stage VARCHAR, step_digest VARCHAR);
CREATE TABLE probe_rows (step_digest VARCHAR, row BIGINT, tokens BIGINT, nll DOUBLE);
CREATE TABLE absorption (
  study VARCHAR, msm_spec VARCHAR, base_model VARCHAR, seed BIGINT, own_before DOUBLE, own_after DOUBLE,
  control_before DOUBLE, control_after DOUBLE, texts INTEGER, gain_nats DOUBLE, ci_low DOUBLE, ci_high DOUBLE,
  installed BOOLEAN);
