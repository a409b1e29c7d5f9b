-- How every claim stands, and why.
SELECT claim, status, study, contrast, text, why, "by", made_on FROM claims ORDER BY claim;
