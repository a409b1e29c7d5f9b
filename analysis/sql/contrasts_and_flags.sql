-- Every declared contrast with its interval, its registration, and what speaks against it.
SELECT study, contrast, "primary", estimate, ci_low, ci_high, p, p_adj, n, method, registered, confounds,
       array_to_string([f.text FOR f IN flags], '; ') AS flags
FROM contrasts
ORDER BY study, "primary" DESC, contrast;
