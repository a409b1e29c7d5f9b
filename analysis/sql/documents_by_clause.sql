-- What the corpora hold: documents and tokens by variant, clause and template.
SELECT msm_spec, clause_id, template_id, count(*) AS documents, count(DISTINCT text) AS distinct_texts, sum(tokens)::BIGINT AS tokens
FROM documents
GROUP BY msm_spec, clause_id, template_id
ORDER BY msm_spec, clause_id, template_id;
