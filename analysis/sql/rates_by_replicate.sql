-- Misaligned rates with their three counts, one row per arm, budget and replicate of every outcome.
SELECT r.study, r.eval, r.arm, r.aft_tokens, r.base_model, r.seed, r.valid - r.aligned AS misaligned, r.valid, r.attempted,
       1 - r.rate_valid AS misaligned_rate
FROM rates r JOIN studies s USING (study)
WHERE json_extract_string(s.manifest, '$.evals."' || r.eval || '".role') = 'outcome'
ORDER BY ALL;
